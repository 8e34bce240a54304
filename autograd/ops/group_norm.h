// Group normalisation of images, alone and fused with the SiLU that follows it in residual blocks.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Gives every group of channels of every sample mean 0 and variance 1, then scales and shifts each channel.
///
///   xhat = (x - mean) * r,  r = 1 / sqrt(var + eps), both over the group's (C/groups, H, W)
///   y = xhat * weight_c + bias_c
///   g = dy * weight_c;  dx = r * (g - mean(g) - xhat * mean(g * xhat));  dweight_c = sum dy * xhat;  dbias_c = sum dy
///
/// Shapes: x (N, C, ...), weight (C) or undefined (ones), bias (C) or undefined (zeros); the result has x's shape.
/// Arguments: `groups` divides C; `eps` is added to the (biased) variance.
/// Saves: x, weight, and mean and r of every group in f32 (f64 for f64).
/// Errors: ShapeError for fewer than two dimensions, a C that `groups` does not divide or a parameter that is not (C);
///   DTypeError unless x is f32, bf16 or f64 and the parameters are of x's type.
/// Numerics: the mean first, then the centred squares. f32 accumulation (f64 for f64), in an order that depends on the
///   shape alone.
/// Source: torch.nn.functional.group_norm; Wu and He, "Group Normalization", 2018.
Variable group_norm(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps);

/// silu(group_norm(...)) in one pass.
///
///   y = silu(z),  z = group_norm(...),  silu(z) = z / (1 + exp(-z));   dz = dy * silu'(z), then as for group_norm
///
/// Shapes, arguments, errors, numerics: as for group_norm.
/// Saves: bias beside what group_norm saves; the backward pass computes z again.
/// Source: VAR's ResnetBlock, whose norms are followed by SiLU.
Variable group_norm_silu(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps);

}  // namespace terrace
