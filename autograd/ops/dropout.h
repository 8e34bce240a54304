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
/// Shapes: any. Arguments: p in [0, 1); p = 1 gives zeros.
/// Saves: the position of the random stream, from which backward draws the mask again.
/// Errors: ConfigError for p outside [0, 1], DTypeError unless f32, bf16 or f64.
/// Numerics: consumes one draw of default_generator() per element, in row-major order.
/// Source: torch.nn.functional.dropout.
Variable dropout(const Variable& x, double p, bool training);

/// Zeroes whole samples (along the first dimension) with probability p and scales the others by 1/(1-p): stochastic
/// depth. Applied to the gate of a gated_residual (B, 1, C) it drops the branch without touching its (B, L, C).
///
/// Shapes: x (B, ...). Arguments, errors as for dropout, and ShapeError for a scalar. Saves: the B factors.
/// Numerics: consumes one draw of default_generator() per sample.
/// Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.
Variable drop_path(const Variable& x, double p, bool training);

/// i64 `indices` of any shape, each replaced with probability p: labels dropped for guidance. No gradient.
/// Numerics: consumes one draw of default_generator() per index, in row-major order.
Tensor drop_indices(const Tensor& indices, double p, int64_t replacement);

}  // namespace terrace
