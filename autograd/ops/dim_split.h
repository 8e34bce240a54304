// How ops along one dimension see a tensor; for the cards of this folder.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// A shape as (outer, extent, inner) around one dimension.
struct DimSplit {
  DimSplit(const Shape& shape, int64_t dim) : extent(shape[dim]) {
    for (int64_t d = 0; d < dim; ++d) { outer *= shape[d]; }
    for (int64_t d = dim + 1; d < shape.size(); ++d) { inner *= shape[d]; }
  }
  int64_t outer = 1, extent, inner = 1;
};

/// Throws ShapeError for a scalar.
inline void check_has_dimension(const Tensor& x, const char* op) {
  if (x.ndim() == 0) { throw ShapeError(cat(op, ": x must have at least one dimension, got ", x.describe())); }
}

}  // namespace terrace
