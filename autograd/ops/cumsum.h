// Cumulative sums.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Adds up the elements along one dimension and keeps every partial sum.
///
///   y_i = x_0 + .. + x_i;   dx_i = dy_i + .. + dy_last
///
/// Shapes: x of any shape with at least one dimension; the result has x's shape.
/// Arguments: `dim` is the dimension that is added along, negative counts from the end.
/// Saves: nothing.
/// Errors: IndexError for a `dim` that x lacks, ShapeError for a scalar, DTypeError unless f32, bf16 or f64.
/// Numerics: sums in f64, each rounded once; on a GPU in an order that the shape decides.
/// Source: torch.cumsum.
Variable cumsum(const Variable& x, int64_t dim);

}  // namespace terrace
