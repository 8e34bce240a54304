// Matrix products of variables.
#pragma once

#include "autograd/node.h"

namespace terrace {

/// The product of matrices, or of batches of them.
///
///   y = a b;   da = dy b^T;   db = a^T dy, both summed over broadcast extents
///
/// Shapes: a (..., M, K), b (..., K, N) -> (..., M, N), leading extents broadcast.
/// Saves: a and b.
/// Errors: ShapeError for fewer than two dimensions and for extents that do not agree, DTypeError unless both are f32,
///   bf16 or f64 alike.
/// Numerics: f32 accumulation for f32 and bf16, f64 for f64.
/// Source: torch.matmul.
Variable matmul(const Variable& a, const Variable& b);

/// An affine map of the last dimension.
///
///   y = x weight^T + bias;   dx = dy weight;   dweight = dy^T x;   dbias = sum of dy over all rows
///
/// Shapes: x (..., K), weight (N, K), bias (N) or undefined -> (..., N).
/// Saves: x and weight.
/// Errors, numerics: as for matmul.
/// Source: torch.nn.functional.linear.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

/// linear with a result of a given type, for a loss that wants the f32 sums of bf16 without their rounding.
///
/// Shapes, saves: as for linear.
/// Arguments: `result` is x's type, or f32 where x and weight are bf16. The bias, and with it dbias, is of that type.
/// Errors: DTypeError for another result.
/// Numerics: dy is rounded to bf16 for the products that make dx and dweight, as what they would be multiplied with is;
///   dbias is the sum of dy as it came.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias, DType result);

}  // namespace terrace
