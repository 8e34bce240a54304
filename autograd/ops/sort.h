// Sorting the last dimension, and its largest elements.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/sort.h"

namespace terrace {

struct ValuesAndIndices {
  Variable values;
  Tensor indices;  // i64, of values' shape
};

/// Sorts the last dimension.
///
///   values[.., i] = x[.., indices[.., i]];   dx[.., indices[.., i]] = dvalues[.., i]
///
/// Shapes: x of any shape with at least one dimension; values and indices have x's shape.
/// Arguments: `order`, ascending where it is not given.
/// Saves: the indices.
/// Errors: ShapeError for a scalar, on a GPU also for 2^32 elements of the last dimension or more; DTypeError unless
///   f32, bf16 or f64.
/// Numerics: stable: equal elements stay in the order of their indices. NaN is larger than everything.
/// Source: torch.sort with stable=True.
ValuesAndIndices sort(const Variable& x, SortOrder order = SortOrder::kAscending);

/// The k largest elements of the last dimension, in descending order: the first k of sort(x, SortOrder::kDescending),
/// which says the formulas, what is saved and the numerics. The gradient is 0 where nothing was chosen.
///
/// Shapes: x (.., N) -> values and indices (.., k).
/// Errors: as for sort, and IndexError unless 0 <= k <= N.
/// Source: torch.topk.
ValuesAndIndices topk(const Variable& x, int64_t k);

}  // namespace terrace
