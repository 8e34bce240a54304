#include "var/training/data_order.h"

#include <algorithm>

#include "tensor/random.h"
#include "tensor/random_streams.h"

namespace terrace {

std::vector<int64_t> DataOrder::batch_rows(int64_t step) {
  std::vector<int64_t> rows;
  for (int64_t i = step * batch_; i < (step + 1) * batch_; ++i) {
    if (i / images_ != epoch_) {
      epoch_ = i / images_;
      order_ = random_permutation(images_, Generator(seed_, streams::kTransformerOrder + epoch_));
    }
    rows.push_back(order_[static_cast<size_t>(i % images_)]);
  }
  return rows;
}

Tensor take_rows(const Tensor& table, std::span<const int64_t> rows) {
  Shape shape = table.shape();
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor taken = Tensor::empty(shape, table.dtype());
  const int64_t width = table.dim(0) == 0 ? 0 : table.numel() / table.dim(0);
  const int64_t* from = table.data<int64_t>();
  int64_t* to = taken.data<int64_t>();
  for (const int64_t row : rows) {
    std::copy_n(from + row * width, width, to);
    to += width;
  }
  return taken;
}

}  // namespace terrace
