// Masked scaling; formulas in autograd/ops/dropout.h. Forward and backward are the same product.
#pragma once

#include "tensor/dtype.h"
#include "tensor/kernel.h"

namespace terrace {

/// y[i] = x[i] * (draws[i] >= p ? factor : 0) for `count` elements.
template <class T>
inline constinit Kernel<void(const T* x, const float* draws, T* y, int64_t count, double p, double factor)>
    dropout_apply{"dropout"};

/// y[r, c] = x[r, c] * (draws[r] >= p ? factor : 0) for (rows, cols).
template <class T>
inline constinit Kernel<void(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor)>
    drop_path_apply{"drop_path"};

}  // namespace terrace
