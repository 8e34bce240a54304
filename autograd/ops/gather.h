// Elements by their positions along one dimension.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Takes elements at given positions along one dimension.
///
///   y[.., i, ..] = x[.., index[.., i, ..], ..]
///   dx[.., e, ..] = sum of dy[.., i, ..] over all i with index[.., i, ..] = e
///
/// Shapes: index has x's rank and, outside `dim`, no larger extents than x; the result has index's shape.
/// Arguments: `dim` is the dimension of the positions, negative counts from the end; `index` is i64.
/// Saves: index.
/// Errors: IndexError for a `dim` that x lacks and for a position outside [0, extent), whose check reads the index on
///   the host; ShapeError for a scalar x, another rank of the index or larger extents; DTypeError unless x is f32, bf16
///   or f64 and the index i64.
/// Numerics: dx is summed in the order of the positions, whatever the number of threads. In bf16 every addition is
///   rounded, but on a GPU only the last one where more than 64 positions lie along `dim`.
/// Source: torch.gather.
Variable gather(const Variable& x, int64_t dim, const Tensor& index);

/// The gradient of gather and of the other ops that choose elements by position: dy, of index's shape, added up at
/// index along `dim` in zeros of `shape`, whose other extents are index's.
Tensor gather_gradient(const Tensor& dy, const Tensor& index, const Shape& shape, int64_t dim);

}  // namespace terrace
