// Positions of the largest and of the smallest elements.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// The position of the largest element along one dimension.
///
///   y = the least e with x[.., e, ..] = max over the dimension;   no gradient
///
/// Shapes: x of any shape with at least one dimension; the result, i64, has x's shape without `dim`.
/// Arguments: `dim` is the dimension of the positions, negative counts from the end.
/// Errors: IndexError for a `dim` that x lacks; ShapeError for a scalar, and where `dim` is empty but the result is
///   not; DTypeError unless f32, bf16, f64 or i64.
/// Numerics: the first among equals; a NaN is larger than everything, the first one among several.
/// Source: torch.argmax.
Tensor argmax(const Tensor& x, int64_t dim = -1);

/// The position of the smallest element. Shapes, arguments and errors as for argmax; here too the first among equals,
/// and a NaN before everything. Source: torch.argmin.
Tensor argmin(const Tensor& x, int64_t dim = -1);

}  // namespace terrace
