#include "nn/layers.h"

#include <cmath>

#include "autograd/functions.h"
#include "nn/compute_copies.h"
#include "nn/weight_scopes.h"

namespace terrace {
namespace {

Variable make_parameter(const Shape& shape, double value, DType dtype = DType::kF32) {
  return Variable(Tensor::full(shape, value, dtype), Requires::kGrad);
}

void check_extent(int64_t extent, const char* layer, const char* what) {
  if (extent < 1) { throw ConfigError(cat(layer, ": ", what, " must be 1 or more, got ", extent)); }
}

void check_probability(double p, const char* layer) {
  if (!(p >= 0 && p < 1)) { throw ConfigError(cat(layer, ": the probability must be in [0, 1), got ", p)); }
}

/// PyTorch's start of linear and convolution layers: weight and bias uniform in +-1/sqrt(fan in).
void init_projection(Variable& weight, Variable& bias, Generator& g) {
  const double bound = 1 / std::sqrt(static_cast<double>(compute_fans(weight.shape()).in));
  uniform_(weight, -bound, bound, g);
  if (bias.defined()) { uniform_(bias, -bound, bound, g); }
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, Bias with_bias, Generator& g) {
  check_extent(in, "Linear", "the number of inputs");
  check_extent(out, "Linear", "the number of outputs");
  weight = make_parameter({out, in}, 0, linear_weight_type());
  register_parameter("weight", weight);
  if (with_bias == Bias::kYes) {
    bias = make_parameter({out}, 0);
    register_parameter("bias", bias);
  }
  init_projection(weight, bias, g);
}

Variable Linear::operator()(const Variable& x) const {
  const Variable w = compute_copy(weight);
  const bool copied = w.impl() != weight.impl();
  return linear(copied ? terrace::to(x, w.dtype()) : x, w, compute_copy(bias));
}

Variable Linear::f32_output(const Variable& x) const {
  const Variable w = compute_copy(weight);
  if (w.impl() == weight.impl()) { return linear(x, w, bias); }
  return linear(terrace::to(x, w.dtype()), w, bias, weight.dtype());
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad, Bias with_bias, Generator& g)
    : Conv2d(in, out, kernel, stride, Padding2d{pad, pad, pad, pad}, with_bias, g) {}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, Padding2d pad, Bias with_bias, Generator& g)
    : options_{stride, pad} {
  check_extent(in, "Conv2d", "the number of input channels");
  check_extent(out, "Conv2d", "the number of output channels");
  check_extent(kernel, "Conv2d", "the kernel's size");
  check_extent(stride, "Conv2d", "the stride");
  weight = make_parameter({out, in, kernel, kernel}, 0);
  register_parameter("weight", weight);
  if (with_bias == Bias::kYes) {
    bias = make_parameter({out}, 0);
    register_parameter("bias", bias);
  }
  init_projection(weight, bias, g);
}

Variable Conv2d::operator()(const Variable& x) const { return conv2d(x, weight, bias, options_); }

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps)
    : weight(make_parameter({channels}, 1)), bias(make_parameter({channels}, 0)), groups_(groups), eps_(eps) {
  check_extent(groups, "GroupNorm", "the number of groups");
  if (channels % groups != 0) {
    throw ConfigError(cat("GroupNorm: ", channels, " channels do not divide into ", groups, " groups"));
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Variable GroupNorm::operator()(const Variable& x) const { return group_norm(x, groups_, weight, bias, eps_); }

Variable GroupNorm::normalize_silu(const Variable& x) const { return group_norm_silu(x, groups_, weight, bias, eps_); }

LayerNorm::LayerNorm(int64_t channels, double eps, Affine affine) : channels_(channels), eps_(eps) {
  check_extent(channels, "LayerNorm", "the number of channels");
  if (affine == Affine::kNo) { return; }
  weight = make_parameter({channels}, 1);
  bias = make_parameter({channels}, 0);
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Variable LayerNorm::operator()(const Variable& x) const {
  if (x.ndim() < 1 || x.dim(-1) != channels_) {
    throw ShapeError(cat("LayerNorm: x must be (..., ", channels_, "), got ", x.value().describe()));
  }
  return layer_norm(x, eps_, weight, bias);
}

Variable LayerNorm::modulate(const Variable& x, const Variable& scale, const Variable& shift) const {
  if (weight.defined()) {
    throw ConfigError("LayerNorm: modulate() is for a norm without affine; make it with Affine::kNo");
  }
  return layer_norm_modulate(x, scale, shift, eps_);
}

Embedding::Embedding(int64_t count, int64_t channels, Generator& g) {
  check_extent(count, "Embedding", "the number of rows");
  check_extent(channels, "Embedding", "the number of channels");
  weight = make_parameter({count, channels}, 0);
  normal_(weight, 1, g);
  register_parameter("weight", weight);
}

Variable Embedding::operator()(const Tensor& indices) const { return embedding(weight, indices); }

SiluLinear::SiluLinear(int64_t in, int64_t out, Generator& g) : linear(in, out, Bias::kYes, g) {
  register_module("1", linear);
}

Variable SiluLinear::operator()(const Variable& cond) const { return linear(silu(cond)); }

Dropout::Dropout(double p) : p_(p) { check_probability(p, "Dropout"); }

Variable Dropout::operator()(const Variable& x) const { return dropout(x, p_, training()); }

DropPath::DropPath(double p) : p_(p) { check_probability(p, "DropPath"); }

Variable DropPath::operator()(const Variable& x) const { return drop_path(x, p_, training()); }

}  // namespace terrace
