// Masked scaling; formulas in autograd/ops/dropout.h. Forward and backward are the same product.
#pragma once

#include "tensor/dtype.h"
#include "tensor/kernel.h"

namespace terrace {

/// Draws first, first + 1, ... of a stream of random numbers, as tensor/philox.h has them.
struct DrawRange {
  uint64_t seed, stream, first;
};

/// y[i] = x[i] * (draw i >= p ? factor : 0) for `count` elements.
template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t count, DrawRange draws, double p, double factor)> dropout_apply{
    "dropout"};

/// y[r, c] = x[r, c] * (draws[r] >= p ? factor : 0) for (rows, cols).
template <class T>
inline constinit Kernel<void(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor)>
    drop_path_apply{"drop_path"};

}  // namespace terrace
