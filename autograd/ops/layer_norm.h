// Layer normalisation over the last dimension: plain, affine, and fused with the modulation of adaptive layer norm.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Gives every row mean 0 and variance 1, then scales and shifts its channels where asked.
///
///   xhat = (x - mean(x)) * r,  r = 1 / sqrt(var(x) + eps)          y = xhat * weight + bias
///   g = dy * weight;  dx = r * (g - mean(g) - xhat * mean(g * xhat));  dweight = sum dy * xhat;  dbias = sum dy
///
/// Shapes: x (..., C), weight (C) or undefined (ones), bias (C) or undefined (zeros); the result has x's shape.
/// Arguments: `eps` is added to the (biased) variance.
/// Saves: x, weight, and mean and r of every row in f32 (f64 for f64).
/// Errors: ShapeError for a scalar x or a parameter that is not (C), DTypeError unless x is f32, bf16 or f64 and the
///   parameters are of x's type.
/// Numerics: two passes over the row in cache, the mean first and then the centred squares, so a large common offset
///   costs no accuracy. f32 accumulation (f64 for f64). Gradients of the parameters are summed over blocks of rows that
///   depend on the shape alone: the same bits for any number of threads.
/// Source: torch.nn.functional.layer_norm; Ba et al., "Layer Normalization", 2016.
Variable layer_norm(const Variable& x, double eps, const Variable& weight = {}, const Variable& bias = {});

/// Layer norm without parameters of its own, modulated by the sample's condition (adaLN of DiT and VAR).
///
///   y = LN(x) * (1 + scale) + shift;   dscale = sum_l dy * LN(x);  dshift = sum_l dy
///
/// Shapes: x (B, L, C); scale and shift (B, 1, C) or (1, 1, C), each on its own; the result is (B, L, C).
/// Saves: x, scale, and mean and r of every row.
/// Errors, numerics: as for layer_norm.
/// Source: Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, section 3.2.
Variable layer_norm_modulate(const Variable& x, const Variable& scale, const Variable& shift, double eps);

}  // namespace terrace
