#include "autograd/ops/gated_residual.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/gated_residual.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

constexpr const char* kName = "gated_residual";

void check_arguments(const Tensor& x, const Tensor& y, const Tensor& gamma) {
  check_one_device(kName, {{"x", x}, {"y", y}, {"gamma", gamma}});
  check_ndim(x, 3, kName, "x");
  check_shape(y, x.shape(), kName, "y");
  check_dtype(y, x.dtype(), kName, "y");
  check_dtype(gamma, x.dtype(), kName, "gamma");
  const Shape each{x.dim(0), 1, x.dim(2)};
  if (gamma.shape() != each && gamma.shape() != Shape{1, 1, x.dim(2)}) {
    throw ShapeError(
        cat(kName, ": gamma must be (B,1,C)=", each, " or (1,1,C), got ", gamma.shape(), "; x is ", x.describe()));
  }
}

}  // namespace

Variable gated_residual(const Variable& x_in, const Variable& y_in, const Variable& gamma_in) {
  check_arguments(x_in.value(), y_in.value(), gamma_in.value());
  const Tensor x = x_in.value().contiguous();
  const Tensor y = y_in.value().contiguous();
  const Tensor gamma = gamma_in.value().contiguous();
  const GateLayout layout{x.dim(0), x.dim(1), x.dim(2), gamma.dim(0) == 1 ? 0 : x.dim(2)};
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    gated_residual_forward<T>(x.device(), x.data<T>(), y.data<T>(), gamma.data<T>(), out.data<T>(), layout);
  });
  return record(kName, out, {x_in, y_in, gamma_in},
                [y = Saved(y), gamma = Saved(gamma), layout](const Tensor& dout) -> Gradients {
                  const Tensor& branch = y.get(kName);
                  const Tensor& gate = gamma.get(kName);
                  const Tensor d = dout.contiguous();
                  Tensor dy = Tensor::empty(branch.shape(), branch.dtype(), branch.device());
                  const Tensor parts = Tensor::empty({layout.samples, gate_blocks(layout.rows), layout.cols},
                                                     accumulator_dtype(branch.dtype()), branch.device());
                  visit_floating(branch.dtype(), kName, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    gated_residual_backward<T>(branch.device(), branch.data<T>(), gate.data<T>(), d.data<T>(),
                                               dy.data<T>(), parts.data<Accumulator<T>>(), layout);
                  });
                  const std::vector<int64_t> dims =
                      layout.gamma_stride == 0 ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{1};
                  return {dout, dy, sum(parts, dims, KeepDim::kYes).to(branch.dtype())};
                });
}

}  // namespace terrace
