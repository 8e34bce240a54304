#include "autograd/ops/softmax.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "autograd/ops/view.h"
#include "tensor/kernels/softmax.h"

namespace terrace {
namespace {

struct SoftmaxKernels {
  const char* name;
  bool log;
};
constexpr SoftmaxKernels kSoftmax{"softmax", false};
constexpr SoftmaxKernels kLogSoftmax{"log_softmax", true};

Tensor forward(const SoftmaxKernels& kind, const Tensor& x) {
  const Rows extent(x, kind.name);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), kind.name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto& kernel = kind.log ? log_softmax_forward<T> : softmax_forward<T>;
    kernel(x.device(), x.data<T>(), y.data<T>(), extent.rows, extent.cols);
  });
  return y;
}

Tensor backward(const SoftmaxKernels& kind, const Tensor& y, const Tensor& dy) {
  const Rows extent(y, kind.name);
  Tensor dx = Tensor::empty(y.shape(), y.dtype(), y.device());
  visit_floating(y.dtype(), kind.name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto& kernel = kind.log ? log_softmax_backward<T> : softmax_backward<T>;
    kernel(y.device(), y.data<T>(), dy.data<T>(), dx.data<T>(), extent.rows, extent.cols);
  });
  return dx;
}

Variable apply_along(const SoftmaxKernels& kind, const Variable& x, int64_t dim) {
  const int64_t along = normalize_dim(dim, x.ndim(), kind.name);
  const int64_t last = x.ndim() - 1;
  if (along != last) { return transpose(apply_along(kind, transpose(x, along, last), last), along, last); }
  const Tensor y = forward(kind, x.value().contiguous());
  return record(kind.name, y, {x}, [kind, y = Saved(y)](const Tensor& dy) -> Gradients {
    return {backward(kind, y.get(kind.name), dy.contiguous())};
  });
}

}  // namespace

Variable softmax(const Variable& x, int64_t dim) { return apply_along(kSoftmax, x, dim); }
Variable log_softmax(const Variable& x, int64_t dim) { return apply_along(kLogSoftmax, x, dim); }

}  // namespace terrace
