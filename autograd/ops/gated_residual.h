// The residual connection of adaptive layer norm.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Adds a branch to the residual stream, channel by channel as strongly as the condition says.
///
///   out = x + gamma * y;   dx = dout;  dy = gamma * dout;  dgamma = sum_l y * dout
///
/// Shapes: x and y (B, L, C), gamma (B, 1, C) or (1, 1, C); the result is (B, L, C).
/// Saves: y and gamma.
/// Errors: ShapeError, DTypeError unless all are f32, bf16 or f64 alike.
/// Numerics: dgamma is summed in f32 (f64 for f64) over blocks that depend on the shape alone.
/// Source: Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, section 3.2.
Variable gated_residual(const Variable& x, const Variable& y, const Variable& gamma);

}  // namespace terrace
