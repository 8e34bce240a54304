// Random dropping of elements and of whole samples during training.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Zeroes each element with probability p and scales the others by 1/(1-p), so that the expectation stays.
///
///   y = x * m / (1-p),  m ~ Bernoulli(1-p);   dx = dy * m / (1-p)
///
/// x itself where `training` is false or p is 0.
///
/// Shapes: x of any shape; the result has x's shape.
/// Arguments: p in [0, 1]; p = 1 gives zeros.
/// Saves: the position of the random stream, from which backward draws the mask again.
/// Errors: ConfigError for p outside [0, 1], DTypeError unless f32, bf16 or f64.
/// Numerics: consumes one draw of default_generator() per element, in row-major order.
/// Source: torch.nn.functional.dropout.
Variable dropout(const Variable& x, double p, bool training);

/// Zeroes whole samples (along the first dimension) with probability p and scales the others by 1/(1-p): stochastic
/// depth. Applied to the gate of a gated_residual (B, 1, C) it drops the branch without touching its (B, L, C).
///
///   y_b = x_b * m_b / (1-p),  m_b ~ Bernoulli(1-p);   dx_b = dy_b * m_b / (1-p)
///
/// Shapes: x (B, ...); the result has x's shape.
/// Arguments: as for dropout.
/// Saves: the B draws.
/// Errors: as for dropout, and ShapeError for a scalar.
/// Numerics: consumes one draw of default_generator() per sample.
/// Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.
Variable drop_path(const Variable& x, double p, bool training);

/// Replaces each index with probability p: labels dropped for classifier-free guidance.
///
///   y_i = replacement where u_i < p, else indices_i,  u_i uniform in [0, 1);   no gradient
///
/// Shapes: indices of any shape, i64; the result has their shape.
/// Errors: ConfigError for p outside [0, 1], DTypeError unless i64.
/// Numerics: consumes one draw of default_generator() per index, in row-major order.
/// Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022.
Tensor drop_indices(const Tensor& indices, double p, int64_t replacement);

}  // namespace terrace
