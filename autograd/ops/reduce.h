// Reductions over some or all dimensions.
#pragma once

#include <vector>

#include "autograd/node.h"
#include "tensor/reduce.h"

namespace terrace {

/// The sum over dimensions.
///
///   y = sum of x over `dims`;   dx = dy, expanded
///
/// Shapes: x of any shape; the result has x's shape without `dims`, or with 1 in their place.
/// Arguments: `dims`, of which negative ones count from the end; none: all. KeepDim::kYes keeps them as 1.
/// Saves: nothing but the shape.
/// Errors: IndexError for a dimension that x lacks, ShapeError for one named twice, DTypeError unless f32, bf16 or f64.
/// Numerics: sums in f32 (f64 for f64), pairwise by blocks in an order fixed by the shape, rounded once at the end.
/// Source: torch.sum.
Variable sum(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

/// The mean over dimensions, of n elements each.
///
///   y = sum of x over `dims` / n;   dx = dy / n, expanded
///
/// Shapes, arguments, saves, errors, numerics: as for sum.
/// Source: torch.mean.
Variable mean(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

/// The largest element over dimensions.
///
///   y = max of x over `dims`;   dx = dy / m at the m elements equal to the maximum, 0 elsewhere
///
/// Shapes, arguments: as for sum.
/// Saves: x and y.
/// Errors: as for sum, and ShapeError for a maximum of no elements.
/// Numerics: NaN propagates.
/// Source: torch.amax.
Variable max(const Variable& x, const std::vector<int64_t>& dims = {}, KeepDim keep = KeepDim::kNo);

}  // namespace terrace
