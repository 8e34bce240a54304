// Scaling vectors to unit length.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Divides vectors along one dimension by their Euclidean length.
///
///   y = x / max(n, eps),  n = sqrt(sum x^2)
///   dx = (dy - y * sum(dy * y)) / n where n > eps, and dy / eps elsewhere
///
/// Shapes: x of any shape with at least one dimension; the result has x's shape.
/// Arguments: `dim` is the dimension of the vectors; any but the last costs a copy. `eps` guards short vectors.
/// Saves: y and max(n, eps) of every vector.
/// Errors: IndexError for a `dim` that x lacks, DTypeError unless f32, bf16 or f64.
/// Numerics: the sum of squares in f32 (f64 for f64); lengths beyond 1e19 overflow f32, as in PyTorch.
/// Source: torch.nn.functional.normalize with p=2.
Variable l2_normalize(const Variable& x, int64_t dim = -1, double eps = 1e-12);

}  // namespace terrace
