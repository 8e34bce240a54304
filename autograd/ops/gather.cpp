#include "autograd/ops/gather.h"

#include "autograd/node.h"
#include "autograd/ops/dim_split.h"
#include "tensor/kernels/gather.h"

namespace terrace {
namespace {

/// Throws IndexError unless every element of the i64 tensor lies in [0, extent).
void check_indices(const Tensor& index, int64_t extent, const char* op) {
  const Tensor host = index.to(kCpu).contiguous();
  const int64_t* values = host.data<int64_t>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    if (values[i] < 0 || values[i] >= extent) {
      throw IndexError(
          cat(op, ": index ", values[i], " (element ", i, " of ", index.shape(), ") is outside [0, ", extent, ")"));
    }
  }
}

Tensor gather_values(const Tensor& x, const Tensor& index, int64_t dim) {
  const DimSplit split(x.shape(), dim);
  Tensor y = Tensor::empty(index.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "gather", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gather_forward<T>(x.device(), split.outer, split.extent, split.inner, index.dim(dim), x.data<T>(),
                      index.data<int64_t>(), y.data<T>());
  });
  return y;
}

/// The part of x that index covers outside `dim`.
Tensor covered(Tensor x, const Shape& index, int64_t dim) {
  for (int64_t d = 0; d < index.size(); ++d) {
    if (d != dim && index[d] < x.dim(d)) { x = x.slice(d, 0, index[d]); }
  }
  return x;
}

}  // namespace

Tensor gather_gradient(const Tensor& dy, const Tensor& index, const Shape& shape, int64_t dim) {
  const DimSplit split(shape, dim);
  const Tensor gradient = dy.contiguous();
  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
  visit_floating(dy.dtype(), "gather", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gather_backward<T>(dy.device(), split.outer, split.extent, split.inner, index.dim(dim), index.data<int64_t>(),
                       gradient.data<T>(), dx.data<T>());
  });
  return dx;
}

Variable gather(const Variable& x, int64_t dim, const Tensor& index) {
  check_has_dimension(x.value(), "gather");
  const int64_t along = normalize_dim(dim, x.ndim(), "gather");
  check_one_device("gather", {{"x", x.value()}, {"index", index}});
  check_dtype(index, DType::kI64, "gather", "index");
  check_ndim(index, x.ndim(), "gather", "index");
  for (int64_t d = 0; d < x.ndim(); ++d) {
    if (d != along && index.dim(d) > x.dim(d)) {
      throw ShapeError(cat("gather: index must not exceed x outside dimension ", along, ", got index ", index.shape(),
                           "; x is ", x.value().describe()));
    }
  }
  check_indices(index, x.dim(along), "gather");
  const Tensor positions = index.contiguous();
  const Tensor part = covered(x.value(), index.shape(), along).contiguous();
  return record(
      "gather", gather_values(part, positions, along), {x},
      [positions = Saved(positions), along, whole = x.shape(), used = part.shape()](const Tensor& dy) -> Gradients {
        const Tensor sums = gather_gradient(dy, positions.get("gather"), used, along);
        if (used == whole) { return {sums}; }
        Tensor dx = Tensor::zeros(whole, dy.dtype(), dy.device());
        covered(dx, used, along).copy_(sums);
        return {dx};
      });
}

}  // namespace terrace
