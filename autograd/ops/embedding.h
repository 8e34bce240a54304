// Looking up rows of a table.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Row indices[i] of the table for every i.
///
///   y[i] = weight[indices[i]];   dweight[v] = sum of dy[i] over all i with indices[i] = v
///
/// Shapes: weight (V, C), indices i64 (N..); the result is (N.., C).
/// Saves: the indices.
/// Errors: IndexError naming the first index outside [0, V) (on another device than the CPU its row is NaN, and its
///   gradient is discarded), ShapeError unless weight has two dimensions, DTypeError unless weight is f32, bf16 or f64
///   and the indices are i64.
/// Numerics: the rows of dweight are summed in the order of the indices, in f32 (f64 for f64), whatever the number of
///   threads.
/// Source: torch.nn.functional.embedding.
Variable embedding(const Variable& weight, const Tensor& indices);

}  // namespace terrace
