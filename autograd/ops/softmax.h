// Softmax and its logarithm.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Turns scores into probabilities along one dimension.
///
///   y_i = exp(x_i - m) / sum_j exp(x_j - m),  m = max_j x_j        dx = y * (dy - sum_j dy_j y_j)
///
/// Shapes: x of any shape with at least one dimension; the result has x's shape.
/// Arguments: `dim` is the dimension that sums to one, negative counts from the end. Any but the last costs a copy.
/// Saves: y.
/// Errors: IndexError for a `dim` that x lacks, DTypeError unless f32, bf16 or f64.
/// Numerics: sums in f32 (f64 for f64), in an order fixed by the row's length, so results do not depend on the number
///   of threads. Entries of -inf get exactly 0; a row of nothing but -inf, or with +inf or NaN in it, is all NaN.
/// Source: torch.nn.functional.softmax.
Variable softmax(const Variable& x, int64_t dim = -1);

/// The logarithm of softmax, exact where the probability itself would round to 0 or 1.
///
///   y_i = x_i - m - log(sum_j exp(x_j - m))                        dx = dy - exp(y) * sum_j dy_j
///
/// Shapes, arguments, saves, errors: as for softmax.
/// Numerics: as for softmax; entries of -inf stay -inf.
/// Source: torch.nn.functional.log_softmax.
Variable log_softmax(const Variable& x, int64_t dim = -1);

}  // namespace terrace
