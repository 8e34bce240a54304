// The layers of the models, as modules around the ops of autograd/ops. Parameters are public members named as in a
// state_dict; initial values are PyTorch's defaults, drawn from `g`, and models overwrite them with nn/init.h.
#pragma once

#include <cstdint>

#include "autograd/ops/conv2d.h"
#include "nn/init.h"
#include "nn/module.h"

namespace terrace {

enum class Bias : bool { kNo = false, kYes = true };
enum class Affine : bool { kNo = false, kYes = true };

/// y = x W^T + b. x (..., in) -> (..., out). weight (out, in), bias (out): uniform in +-1/sqrt(in). Where the weight
/// has a compute copy (nn/compute_copies.h) x is converted to its type, and y is of that type.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, Bias with_bias = Bias::kYes, Generator& g = default_generator());
  Variable operator()(const Variable& x) const;
  /// The same, but of the weight's own type: with a bf16 compute copy, y is the f32 sums, not rounded, plus the bias.
  Variable f32_output(const Variable& x) const;

  Variable weight;
  Variable bias;  // undefined without
};

/// x (B, in, H, W) -> (B, out, H', W'). weight (out, in, kernel, kernel), bias (out): uniform in +-1/sqrt(in kernel^2).
/// Zero padding; Conv2d(c, c, 3, 2, {0, 1, 0, 1}) pads below and at the right only.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t pad = 0, Bias with_bias = Bias::kYes,
         Generator& g = default_generator());
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, Padding2d pad, Bias with_bias = Bias::kYes,
         Generator& g = default_generator());
  Variable operator()(const Variable& x) const;

  Variable weight;
  Variable bias;  // undefined without

 private:
  Conv2dOptions options_;
};

/// x (B, C, H, W), normalised over each of `groups` groups of channels. weight (C) = 1, bias (C) = 0.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-6);
  Variable operator()(const Variable& x) const;
  Variable normalize_silu(const Variable& x) const;  // silu((*this)(x)), fused

  Variable weight;
  Variable bias;

 private:
  int64_t groups_;
  double eps_;
};

/// x (..., C), normalised over C. weight (C) = 1, bias (C) = 0, both undefined without Affine.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t channels, double eps = 1e-6, Affine affine = Affine::kYes);
  Variable operator()(const Variable& x) const;
  /// The adaptive form of VAR: LN(x) (1 + scale) + shift with x (B, L, C), scale and shift (B, 1, C). Needs
  /// Affine::kNo.
  Variable modulate(const Variable& x, const Variable& scale, const Variable& shift) const;

  Variable weight;
  Variable bias;

 private:
  int64_t channels_;
  double eps_;
};

/// indices i64 (...) -> (..., C). weight (V, C), standard normal.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t channels, Generator& g = default_generator());
  Variable operator()(const Tensor& indices) const;

  Variable weight;
};

/// adaLN's condition: linear(silu(cond)). Its parameters are "1.weight" and "1.bias", as in the official
/// Sequential(SiLU, Linear): registered as "ada_lin" it gives "ada_lin.1.weight".
class SiluLinear : public Module {
 public:
  SiluLinear(int64_t in, int64_t out, Generator& g = default_generator());
  Variable operator()(const Variable& cond) const;

  Linear linear;
};

/// Zeroes each element with probability p while training, and scales the rest by 1/(1-p). p in [0, 1).
class Dropout : public Module {
 public:
  explicit Dropout(double p);
  Variable operator()(const Variable& x) const;

 private:
  double p_;
};

/// Zeroes whole samples (the first dimension) likewise: stochastic depth.
class DropPath : public Module {
 public:
  explicit DropPath(double p);
  Variable operator()(const Variable& x) const;

 private:
  double p_;
};

}  // namespace terrace
