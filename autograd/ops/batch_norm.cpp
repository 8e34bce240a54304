#include "autograd/ops/batch_norm.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/batch_norm.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

constexpr const char* kName = "batch_norm_eval";

BatchNormLayout layout_of(const Tensor& x) {
  if (x.ndim() < 2) { throw ShapeError(cat(kName, ": x must be (N, C, ...), got ", x.describe())); }
  BatchNormLayout layout{x.dim(0), x.dim(1), 1};
  for (int64_t d = 2; d < x.ndim(); ++d) { layout.positions *= x.dim(d); }
  return layout;
}

}  // namespace

Variable batch_norm_eval(const Variable& x_in, const Tensor& running_mean, const Tensor& running_var,
                         const Variable& weight_in, const Variable& bias_in, double eps) {
  const Tensor x = x_in.value().contiguous();
  const BatchNormLayout layout = layout_of(x);
  const auto parameter = [&](const Tensor& t, const char* argument) {
    return channel_parameter(t, layout.channels, x, kName, argument);
  };
  if (!running_mean.defined() || !running_var.defined()) {
    throw ShapeError(cat(kName, ": running_mean and running_var must be given, (C)=", Shape{layout.channels}));
  }
  const Tensor mean = parameter(running_mean, "running_mean");
  const Tensor variance = parameter(running_var, "running_var");
  const Tensor weight = parameter(value_or_none(weight_in), "weight");
  const Tensor bias = parameter(value_or_none(bias_in), "bias");
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    batch_norm_forward<T>(x.device(), x.data<T>(), mean.data<T>(), variance.data<T>(), data_or_null<T>(weight),
                          data_or_null<T>(bias), y.data<T>(), layout, eps);
  });
  return record(kName, y, {x_in, weight_in, bias_in},
                [x = Saved(x), mean = Saved(mean), variance = Saved(variance), weight = Saved(weight), layout, eps,
                 has_bias = bias.defined()](const Tensor& dy_in) -> Gradients {
                  const Tensor& input = x.get(kName);
                  const Tensor w = weight.defined() ? weight.get(kName) : Tensor();
                  const Tensor dy = dy_in.contiguous();
                  const Shape parts{layout.samples, layout.channels};
                  const DType sum_dtype = accumulator_dtype(input.dtype());
                  Tensor dx = Tensor::empty(input.shape(), input.dtype(), input.device());
                  const Tensor dweight = Tensor::empty(parts, sum_dtype, input.device());
                  const Tensor dbias = Tensor::empty(parts, sum_dtype, input.device());
                  visit_floating(input.dtype(), kName, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    using A = Accumulator<T>;
                    batch_norm_backward<T>(input.device(), input.data<T>(), mean.get(kName).data<T>(),
                                           variance.get(kName).data<T>(), data_or_null<T>(w), dy.data<T>(),
                                           dx.data<T>(), dweight.data<A>(), dbias.data<A>(), layout, eps);
                  });
                  return {dx, w.defined() ? sum(dweight, {0}).to(input.dtype()) : Tensor(),
                          has_bias ? sum(dbias, {0}).to(input.dtype()) : Tensor()};
                });
}

}  // namespace terrace
