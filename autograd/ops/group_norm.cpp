#include "autograd/ops/group_norm.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/group_norm.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

GroupNormLayout layout_of(const Tensor& x, int64_t groups, const char* op) {
  if (x.ndim() < 2) { throw ShapeError(cat(op, ": x must be (N, C, ...), got ", x.describe())); }
  GroupNormLayout layout{x.dim(0), x.dim(1), 1, groups};
  if (groups < 1 || layout.channels % groups != 0) {
    throw ShapeError(cat(op, ": the channels must be a multiple of groups=", groups, ", got C=", layout.channels,
                         " in x ", x.describe()));
  }
  for (int64_t d = 2; d < x.ndim(); ++d) { layout.positions *= x.dim(d); }
  return layout;
}

Variable normalize(const char* name, const Variable& x_in, int64_t groups, const Variable& weight_in,
                   const Variable& bias_in, double eps, NormActivation activation) {
  const Tensor x = x_in.value().contiguous();
  const GroupNormLayout layout = layout_of(x, groups, name);
  const auto parameter = [&](const Variable& v, const char* argument) {
    return channel_parameter(value_or_none(v), layout.channels, x, name, argument);
  };
  const Tensor weight = parameter(weight_in, "weight");
  const Tensor bias = parameter(bias_in, "bias");
  const DType sum_dtype = accumulator_dtype(x.dtype());
  const Tensor mean = Tensor::empty({layout.samples, groups}, sum_dtype, x.device());
  const Tensor inverse_std = Tensor::empty({layout.samples, groups}, sum_dtype, x.device());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    group_norm_forward<T>(x.device(), x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), y.data<T>(),
                          mean.data<A>(), inverse_std.data<A>(), layout, eps, activation);
  });
  return record(name, y, {x_in, weight_in, bias_in},
                [=, x = Saved(x), weight = Saved(weight), bias = Saved(bias)](const Tensor& dy_in) -> Gradients {
                  const Tensor& input = x.get(name);
                  const Tensor w = weight.defined() ? weight.get(name) : Tensor();
                  const Tensor b = bias.defined() ? bias.get(name) : Tensor();
                  const Tensor dy = dy_in.contiguous();
                  const Shape parts{layout.samples, layout.channels};
                  Tensor dx = Tensor::empty(input.shape(), input.dtype(), input.device());
                  const Tensor dweight = Tensor::empty(parts, sum_dtype, input.device());
                  const Tensor dbias = Tensor::empty(parts, sum_dtype, input.device());
                  visit_floating(input.dtype(), name, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    using A = Accumulator<T>;
                    group_norm_backward<T>(input.device(), input.data<T>(), data_or_null<T>(w), data_or_null<T>(b),
                                           mean.data<A>(), inverse_std.data<A>(), dy.data<T>(), dx.data<T>(),
                                           dweight.data<A>(), dbias.data<A>(), layout, activation);
                  });
                  return {dx, w.defined() ? sum(dweight, {0}).to(input.dtype()) : Tensor(),
                          b.defined() ? sum(dbias, {0}).to(input.dtype()) : Tensor()};
                });
}

}  // namespace

Variable group_norm(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps) {
  return normalize("group_norm", x, groups, weight, bias, eps, NormActivation::kNone);
}

Variable group_norm_silu(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps) {
  return normalize("group_norm_silu", x, groups, weight, bias, eps, NormActivation::kSilu);
}

}  // namespace terrace
