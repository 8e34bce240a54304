#include "tensor/kernels/cumsum.h"

#include "tensor/base/dtype.h"
#include "tensor/kernels/columns.h"

namespace terrace {
namespace {

template <class T>
void cumulative_sum(int64_t outer, int64_t extent, int64_t inner, Scan scan, const T* x, T* y) {
  for_columns(outer, extent, inner, [=](int64_t o, int64_t begin, int64_t end) {
    double sums[kInnerBlock] = {};
    for (int64_t step = 0; step < extent; ++step) {
      const int64_t e = scan == Scan::kFromFirst ? step : extent - 1 - step;
      const int64_t row = (o * extent + e) * inner;
      for (int64_t i = begin; i < end; ++i) {
        sums[i - begin] += static_cast<double>(x[row + i]);
        y[row + i] = static_cast<T>(static_cast<Accumulator<T>>(sums[i - begin]));
      }
    }
  });
}

TERRACE_REGISTER_FLOATS(cumulate, cumulative_sum);

}  // namespace
}  // namespace terrace
