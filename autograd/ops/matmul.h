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

}  // namespace terrace
