#include "autograd/ops/sort.h"

#include <algorithm>

#include "autograd/node.h"
#include "autograd/ops/dim_split.h"
#include "autograd/ops/gather.h"
#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

/// The first k in `order` of x's last dimension.
ValuesAndIndices prefix(const char* op, const Variable& x, int64_t k, SortOrder order) {
  const Tensor input = x.value().contiguous();
  const int64_t last = input.ndim() - 1, extent = input.dim(last);
  Shape shape = input.shape();
  shape[last] = k;
  Tensor values = Tensor::empty(shape, input.dtype(), input.device());
  Tensor indices = Tensor::empty(shape, DType::kI64, input.device());
  const int64_t rows = DimSplit(input.shape(), last).outer;
  const bool small = 2 * rows * extent < kMinParallelRowElements;
  const int64_t workers = small ? 1 : std::max<int64_t>(1, std::min<int64_t>(threads(), rows));
  const Tensor scratch = Tensor::empty({workers, extent}, DType::kI64, input.device());
  visit_floating(input.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    sorted_prefix<T>(input.device(), rows, extent, k, order, input.data<T>(), workers, scratch.data<int64_t>(),
                     values.data<T>(), indices.data<int64_t>());
  });
  Variable y = record(op, std::move(values), {x},
                      [op, saved = Saved(indices), from = input.shape(), last](const Tensor& dy) -> Gradients {
                        return {gather_gradient(dy, saved.get(op), from, last)};
                      });
  return {std::move(y), std::move(indices)};
}

}  // namespace

ValuesAndIndices topk(const Variable& x, int64_t k) {
  check_has_dimension(x.value(), "topk");
  if (k < 0 || k > x.dim(-1)) {
    throw IndexError(cat("topk: k must be in [0, ", x.dim(-1), "], got ", k, "; x is ", x.value().describe()));
  }
  return prefix("topk", x, k, SortOrder::kDescending);
}

ValuesAndIndices sort(const Variable& x, SortOrder order) {
  check_has_dimension(x.value(), "sort");
  return prefix("sort", x, x.dim(-1), order);
}

}  // namespace terrace
