// Choosing elements: where, gather, cumsum, topk, sort; and the functions that return positions, which have no
// gradient.
#pragma once

#include "autograd/variable.h"
#include "tensor/kernels/selection.h"

namespace terrace {

/// y = condition ? a : b, elementwise; condition is bool or u8 (nonzero is true), all three broadcast.
/// da = condition ? dy : 0, db = condition ? 0 : dy, summed over what was broadcast. Saves condition.
Variable where(const Tensor& condition, const Variable& a, const Variable& b);

/// y[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`. index (i64) has x's rank and no larger extents outside
/// `dim`. dx sums dy where positions repeat, in a fixed order. Saves index. Throws IndexError for an index outside [0,
/// extent).
Variable gather(const Variable& x, int64_t dim, const Tensor& index);

/// y_i = x_0 + .. + x_i along `dim` (accumulated in f64); dx_i = dy_i + .. + dy_last. Saves nothing.
Variable cumsum(const Variable& x, int64_t dim);

struct ValuesAndIndices {
  Variable values;
  Tensor indices;  // i64, of values' shape
};

/// The k largest of the last dimension, in descending order; the lower index first among equals, NaN before everything.
/// The gradient goes to the positions chosen. Throws IndexError unless 0 <= k <= extent.
ValuesAndIndices topk(const Variable& x, int64_t k);

/// Sorts the last dimension, stably; NaN counts as larger than everything. The gradient is permuted back.
ValuesAndIndices sort(const Variable& x, SortOrder order = SortOrder::kAscending);

/// Position of the largest (smallest) element along `dim`, which is dropped: i64. The first among equals; a NaN wins,
/// the first one among several. Throws ShapeError where `dim` is empty.
Tensor argmax(const Tensor& x, int64_t dim = -1);
Tensor argmin(const Tensor& x, int64_t dim = -1);

/// How often each of 0..n-1 occurs in x (any shape, i64): (n) i64 with n = max(minlength, 1 + largest).
/// Throws IndexError for a negative element.
Tensor bincount(const Tensor& x, int64_t minlength = 0);

enum class CodeDistance : uint8_t { kEuclidean, kCosine };

/// For each row of x (N,C) the nearest row of codes (V,C), f32 or f64: (N) i64; the lowest index among equals.
/// Euclidean: argmin_v |x|^2 + |codes_v|^2 - 2 x.codes_v, evaluated in that order, as in VAR. Cosine: the largest
/// product of the normalised rows. Works in chunks of rows, so that the memory used does not grow with N. Throws
/// ShapeError (including V = 0 with N > 0), DTypeError.
Tensor nearest_code(const Tensor& x, const Tensor& codes, CodeDistance distance = CodeDistance::kEuclidean);

}  // namespace terrace
