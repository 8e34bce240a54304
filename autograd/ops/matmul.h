// Matrix products of variables.
#pragma once

#include "autograd/node.h"

namespace terrace {

/// y (..., M, N) = a (..., M, K) b (..., K, N), leading extents broadcast.
/// da = dy b^T, db = a^T dy, summed over broadcast extents. Saves a and b.
/// Errors: ShapeError, DTypeError. f32, bf16 (f32 accumulation), f64.
Variable matmul(const Variable& a, const Variable& b);

/// y (..., N) = x (..., K) weight^T + bias, weight (N, K), bias (N) or undefined.
/// dx = dy weight, dweight = dy^T x, dbias = sum of dy over all rows. Saves x and weight.
/// Source: torch.nn.functional.linear.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

/// The same with a result of a given type: x's, or f32 where x and weight are bf16: the sums without their rounding, as
/// a loss wants them. The bias, and with it dbias, is of that type. dy is rounded to bf16 for the products that make dx
/// and dweight, as what they would be multiplied with is; dbias is the sum of dy as it came. Throws DTypeError.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias, DType result);

}  // namespace terrace
