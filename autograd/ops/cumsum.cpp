#include "autograd/ops/cumsum.h"

#include "autograd/node.h"
#include "autograd/ops/dim_split.h"
#include "tensor/kernels/cumsum.h"

namespace terrace {
namespace {

Tensor cumulated(const Tensor& x, int64_t dim, Scan scan) {
  const Tensor input = x.contiguous();
  const DimSplit split(x.shape(), dim);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "cumsum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    cumulate<T>(x.device(), split.outer, split.extent, split.inner, scan, input.data<T>(), y.data<T>());
  });
  return y;
}

}  // namespace

Variable cumsum(const Variable& x, int64_t dim) {
  check_has_dimension(x.value(), "cumsum");
  const int64_t along = normalize_dim(dim, x.ndim(), "cumsum");
  return record("cumsum", cumulated(x.value(), along, Scan::kFromFirst), {x},
                [along](const Tensor& dy) -> Gradients { return {cumulated(dy, along, Scan::kFromLast)}; });
}

}  // namespace terrace
