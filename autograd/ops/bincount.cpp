#include "autograd/ops/bincount.h"

#include <algorithm>

#include "tensor/kernels/bincount.h"

namespace terrace {

Tensor bincount(const Tensor& x, int64_t minlength) {
  check_dtype(x, DType::kI64, "bincount", "x");
  constexpr int64_t kMaxBins = int64_t{1} << 32;  // 32 GiB of counts: a larger element is no index
  if (minlength < 0) { throw ConfigError(cat("bincount: minlength must not be negative, got ", minlength)); }
  const Tensor host = x.to(kCpu).contiguous();
  const int64_t* values = host.data<int64_t>();
  const int64_t count = host.numel();
  int64_t bins = minlength;
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] < 0) { throw IndexError(cat("bincount: elements must not be negative, got ", values[i])); }
    if (values[i] >= kMaxBins) {
      throw IndexError(cat("bincount: elements must be below ", kMaxBins, ", got ", values[i]));
    }
    bins = std::max(bins, values[i] + 1);
  }
  Tensor y = Tensor::zeros({bins}, DType::kI64);
  count_bins(kCpu, count, values, y.data<int64_t>());
  return y.to(x.device());
}

}  // namespace terrace
