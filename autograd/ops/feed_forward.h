// The transformer's MLP as one op, so that bias and GELU are computed where a product is stored, in both directions.
#pragma once

#include "autograd/node.h"

namespace terrace {

/// Two affine maps with gelu_tanh between them.
///
///   pre_activation = x weight1^T + bias1,  hidden = gelu_tanh(pre_activation),  y = hidden weight2^T + bias2
///   dpre_activation = (dy weight2) gelu_tanh'(pre_activation),  dx = dpre_activation weight1
///   dweight1 = dpre_activation^T x,  dbias1 = dpre_activation summed over rows
///   dweight2 = dy^T hidden,  dbias2 = dy summed over rows
///
/// Shapes: x (..., K), weight1 (H, K), bias1 (H) or undefined, weight2 (N, H), bias2 (N) or undefined -> (..., N).
/// Saves: x, pre_activation, hidden and the weights.
/// Errors: ShapeError, DTypeError and DeviceError as for linear, named after linear_gelu or linear.
/// Numerics: on the CPU the bits of linear(gelu_tanh(linear(x, weight1, bias1)), weight2, bias2) in f32 and f64; bf16,
///   and GPUs, round `pre_activation` for the derivative alone, and apply gelu_tanh to the f32 sums.
/// Source: VAR's FFN.
Variable feed_forward(const Variable& x, const Variable& weight1, const Variable& bias1, const Variable& weight2,
                      const Variable& bias2);

}  // namespace terrace
