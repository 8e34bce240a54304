#include "autograd/ops/layer_norm.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/layer_norm.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

/// How a parameter is laid out over the samples: its dims of the partial sums (samples, blocks, C) to add up, and the
/// shape of its gradient.
struct Reduction {
  std::vector<int64_t> dims;
  Shape shape;
};

Reduction reduction_of(const Tensor& parameter, int64_t stride) {
  if (!parameter.defined()) { return {}; }
  return {stride == 0 ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{1}, parameter.shape()};
}

Tensor reduce(const Tensor& parts, const Reduction& how, DType dtype) {
  return parts.defined() ? sum(parts, how.dims).to(dtype).reshape(how.shape) : Tensor();
}

/// The op for parameters that fit: `x` contiguous, `layout` describes it and them.
Variable normalize(const char* name, const Variable& x_in, const Variable& gain_in, const Variable& shift_in,
                   const Tensor& x, const Tensor& gain, const Tensor& shift, LayerNormLayout layout, double eps) {
  const int64_t rows = layout.samples * layout.rows;
  const DType sum_dtype = accumulator_dtype(x.dtype());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const Tensor mean = Tensor::empty({rows}, sum_dtype, x.device());
  const Tensor inverse_std = Tensor::empty({rows}, sum_dtype, x.device());
  visit_floating(x.dtype(), name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    layer_norm_forward<T>(x.device(), x.data<T>(), data_or_null<T>(gain), data_or_null<T>(shift), y.data<T>(),
                          mean.data<A>(), inverse_std.data<A>(), layout, eps);
  });
  const bool want_gain = gain.defined() && gain_in.requires_grad();
  const bool want_shift = shift.defined() && shift_in.requires_grad();
  const Reduction gain_sum = reduction_of(value_or_none(gain_in), layout.gain_stride);
  const Reduction shift_sum = reduction_of(value_or_none(shift_in), layout.shift_stride);
  return record(name, y, {x_in, gain_in, shift_in},
                [=, x = Saved(x), gain = Saved(gain)](const Tensor& dy_in) -> Gradients {
                  const Tensor& input = x.get(name);
                  const Tensor& factor = gain.defined() ? gain.get(name) : Tensor();
                  const Tensor dy = dy_in.contiguous();
                  const Shape parts{layout.samples, layer_norm_blocks(layout.rows), layout.cols};
                  Tensor dx = Tensor::empty(input.shape(), input.dtype(), input.device());
                  Tensor dgain, dshift;
                  if (want_gain) { dgain = Tensor::empty(parts, sum_dtype, input.device()); }
                  if (want_shift) { dshift = Tensor::empty(parts, sum_dtype, input.device()); }
                  visit_floating(input.dtype(), name, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    using A = Accumulator<T>;
                    layer_norm_backward<T>(input.device(), input.data<T>(), data_or_null<T>(factor), mean.data<A>(),
                                           inverse_std.data<A>(), dy.data<T>(), dx.data<T>(), data_or_null<A>(dgain),
                                           data_or_null<A>(dshift), layout);
                  });
                  return {dx, reduce(dgain, gain_sum, input.dtype()), reduce(dshift, shift_sum, input.dtype())};
                });
}

constexpr const char* kModulate = "layer_norm_modulate";

/// (B, 1, C) or (1, 1, C), contiguous.
Tensor modulation(const Tensor& t, const Tensor& x, const char* argument) {
  check_one_device(kModulate, {{"x", x}, {argument, t}});
  const Shape each{x.dim(0), 1, x.dim(2)};
  if (t.shape() != each && t.shape() != Shape{1, 1, x.dim(2)}) {
    throw ShapeError(cat(kModulate, ": ", argument, " must be (B,1,C)=", each, " or (1,1,C), got ", t.shape(),
                         "; x is ", x.describe()));
  }
  check_dtype(t, x.dtype(), kModulate, argument);
  return t.contiguous();
}

}  // namespace

Variable layer_norm(const Variable& x, double eps, const Variable& weight, const Variable& bias) {
  constexpr const char* kName = "layer_norm";
  const Tensor input = x.value().contiguous();
  const Rows extent(input, kName);
  const Tensor w = channel_parameter(value_or_none(weight), extent.cols, input, kName, "weight");
  const Tensor b = channel_parameter(value_or_none(bias), extent.cols, input, kName, "bias");
  return normalize(kName, x, weight, bias, input, w, b, {1, extent.rows, extent.cols, 0, 0, 0.0}, eps);
}

Variable layer_norm_modulate(const Variable& x, const Variable& scale, const Variable& shift, double eps) {
  check_ndim(x.value(), 3, kModulate, "x");
  const Tensor input = x.value().contiguous();
  const Tensor gain = modulation(scale.value(), input, "scale");
  const Tensor offset = modulation(shift.value(), input, "shift");
  const int64_t channels = input.dim(2);
  const auto stride = [&](const Tensor& t) { return t.dim(0) == 1 ? int64_t{0} : channels; };
  return normalize(kModulate, x, scale, shift, input, gain, offset,
                   {input.dim(0), input.dim(1), channels, stride(gain), stride(offset), 1.0}, eps);
}

}  // namespace terrace
