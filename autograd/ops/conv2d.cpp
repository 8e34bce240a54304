#include "autograd/ops/conv2d.h"

#include "autograd/node.h"
#include "tensor/kernels/conv2d.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

void check_options(const Conv2dOptions& options) {
  if (options.stride < 1) { throw ConfigError(cat("conv2d: stride must be at least 1, got ", options.stride)); }
  const Padding2d& pad = options.pad;
  if (pad.top < 0 || pad.bottom < 0 || pad.left < 0 || pad.right < 0) {
    throw ConfigError(cat("conv2d: padding must not be negative, got top ", pad.top, " bottom ", pad.bottom, " left ",
                          pad.left, " right ", pad.right));
  }
}

Conv2dGeometry geometry_of(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  check_one_device("conv2d", {{"x", x}, {"weight", weight}, {"bias", bias}});
  check_ndim(x, 4, "conv2d", "x (B,C,H,W)");
  check_ndim(weight, 4, "conv2d", "weight (O,C,kh,kw)");
  check_dtype(weight, x.dtype(), "conv2d", "weight");
  if (weight.dim(1) != x.dim(1)) {
    throw ShapeError(cat("conv2d: weight must be (O,C,kh,kw) with C = x's ", x.dim(1), " channels, got ",
                         weight.shape(), "; x is ", x.describe()));
  }
  if (weight.numel() == 0) { throw ShapeError(cat("conv2d: weight (O,C,kh,kw) has an extent of 0: ", weight.shape())); }
  if (bias.defined()) {
    check_dtype(bias, x.dtype(), "conv2d", "bias");
    check_shape(bias, {weight.dim(0)}, "conv2d", "bias");
  }
  check_options(options);
  const Padding2d& pad = options.pad;
  const Conv2dGeometry g{x.dim(0),      x.dim(1),       x.dim(2), x.dim(3),   weight.dim(0), weight.dim(2),
                         weight.dim(3), options.stride, pad.top,  pad.bottom, pad.left,      pad.right};
  if (g.height + g.top + g.bottom < g.kernel_height || g.width + g.left + g.right < g.kernel_width) {
    throw ShapeError(cat("conv2d: kernel ", g.kernel_height, "x", g.kernel_width, " does not fit into x ", x.shape(),
                         " padded by top ", g.top, " bottom ", g.bottom, " left ", g.left, " right ", g.right));
  }
  return g;
}

/// The type of the kernel for tensors like `t`: bf16 is converted where there is none of its own.
DType compute_type(const Tensor& t) {
  const bool converted = t.dtype() == DType::kBF16 && !conv2d_forward<BFloat16>.has(backend_of(t.device()));
  return converted ? DType::kF32 : t.dtype();
}

Tensor prepared(const Tensor& t) { return t.to(compute_type(t)).contiguous(); }

Tensor forward(const Conv2dGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Shape shape{g.batch, g.out_channels, g.out_height(), g.out_width()};
  Tensor y = Tensor::empty(shape, compute_type(x), x.device());
  visit_floating(y.dtype(), "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (g.batch == 0) { return; }
    const Tensor xs = prepared(x), ws = prepared(weight), bs = bias.defined() ? prepared(bias) : Tensor();
    conv2d_forward<T>(x.device(), g, xs.data<T>(), ws.data<T>(), data_or_null<T>(bs), y.data<T>());
  });
  return y.to(x.dtype());
}

struct Wanted {
  bool x, weight, bias;
};

/// `x` is undefined where dweight is not wanted, `weight` where dx is not.
Gradients backward(const Conv2dGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& dy,
                   const Wanted& wanted) {
  const Shape x_shape{g.batch, g.in_channels, g.height, g.width};
  const Shape weight_shape{g.out_channels, g.in_channels, g.kernel_height, g.kernel_width};
  const DType dtype = dy.dtype(), computed = compute_type(dy);
  if (g.batch == 0) {
    return {wanted.x ? Tensor::zeros(x_shape, dtype, dy.device()) : Tensor(),
            wanted.weight ? Tensor::zeros(weight_shape, dtype, dy.device()) : Tensor(),
            wanted.bias ? Tensor::zeros({g.out_channels}, dtype, dy.device()) : Tensor()};
  }
  const Tensor gradient = prepared(dy);
  Tensor dx, dweight, dbias;
  if (wanted.x) { dx = Tensor::empty(x_shape, computed, dy.device()); }
  if (wanted.weight) { dweight = Tensor::empty(weight_shape, computed, dy.device()); }
  if (wanted.weight && wanted.bias) { dbias = Tensor::empty({g.out_channels}, computed, dy.device()); }
  if (wanted.x || wanted.weight) {
    const Tensor xs = wanted.weight ? prepared(x) : Tensor(), ws = wanted.x ? prepared(weight) : Tensor();
    visit_floating(computed, "conv2d", [&](auto tag) {
      using T = typename decltype(tag)::type;
      conv2d_backward<T>(dy.device(), g, data_or_null<T>(xs), data_or_null<T>(ws), gradient.data<T>(),
                         data_or_null<T>(dx), data_or_null<T>(dweight), data_or_null<T>(dbias));
    });
  }
  if (wanted.bias && !wanted.weight) { dbias = sum(gradient, {0, 2, 3}); }
  const auto result = [dtype](const Tensor& t) { return t.defined() ? t.to(dtype) : t; };
  return {result(dx), result(dweight), result(dbias)};
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options) {
  const Tensor b = bias.defined() ? bias.value() : Tensor();
  const Conv2dGeometry geometry = geometry_of(x.value(), weight.value(), b, options);
  Tensor y = forward(geometry, x.value(), weight.value(), b);
  std::vector<Variable> inputs{x, weight};
  if (bias.defined()) { inputs.push_back(bias); }
  const Wanted wanted{x.requires_grad(), weight.requires_grad(), bias.defined() && bias.requires_grad()};
  const Saved saved_x = wanted.weight ? Saved(x) : Saved(), saved_weight = wanted.x ? Saved(weight) : Saved();
  return record("conv2d", std::move(y), inputs,
                [geometry, wanted, has_bias = bias.defined(), saved_x, saved_weight](const Tensor& dy) {
                  Gradients all = backward(geometry, saved_x.defined() ? saved_x.get("conv2d") : Tensor(),
                                           saved_weight.defined() ? saved_weight.get("conv2d") : Tensor(), dy, wanted);
                  if (!has_bias) { all.pop_back(); }
                  return all;
                });
}

}  // namespace terrace
