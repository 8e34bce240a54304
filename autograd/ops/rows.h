// How ops over the last dimension see a tensor; for the cards of this folder.
#pragma once

#include "autograd/variable.h"

namespace terrace {

/// Extent of the last dimension and the product of the others.
struct Rows {
  int64_t rows = 1, cols = 1;
  /// Throws ShapeError for a scalar.
  Rows(const Tensor& x, const char* op);
};

/// The type sums over a tensor of `dtype` are kept in: f64 for f64, else f32.
DType accumulator_dtype(DType dtype);

/// A (channels) parameter ready for a kernel: contiguous, checked to be of x's dtype; undefined stays undefined.
/// Throws ShapeError, DTypeError naming `op` and `argument`.
Tensor channel_parameter(const Tensor& parameter, int64_t channels, const Tensor& x, const char* op,
                         const char* argument);

/// What an op computes with; undefined where the argument was not given.
inline Tensor value_or_none(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

}  // namespace terrace
