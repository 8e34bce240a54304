#include "autograd/ops/argmax.h"

#include "autograd/ops/dim_split.h"
#include "tensor/kernels/argmax.h"

namespace terrace {
namespace {

template <class F>
void visit_comparable(DType dtype, const char* op, F&& f) {
  if (dtype == DType::kI64) {
    f(TypeTag<int64_t>{});
  } else {
    visit_floating(dtype, op, f);
  }
}

Tensor extreme_of(const char* op, const Tensor& x, int64_t dim, Extreme extreme) {
  check_has_dimension(x, op);
  const int64_t along = normalize_dim(dim, x.ndim(), op);
  const DimSplit split(x.shape(), along);
  Shape shape = x.shape();
  shape.erase(along);
  if (split.extent == 0 && shape.numel() > 0) {
    throw ShapeError(cat(op, ": dimension ", along, " of x is empty: ", x.describe()));
  }
  const Tensor input = x.contiguous();
  Tensor index = Tensor::empty(shape, DType::kI64, x.device());
  visit_comparable(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    arg_extreme<T>(x.device(), split.outer, split.extent, split.inner, extreme, input.data<T>(), index.data<int64_t>());
  });
  return index;
}

}  // namespace

Tensor argmax(const Tensor& x, int64_t dim) { return extreme_of("argmax", x, dim, Extreme::kLargest); }
Tensor argmin(const Tensor& x, int64_t dim) { return extreme_of("argmin", x, dim, Extreme::kSmallest); }

}  // namespace terrace
