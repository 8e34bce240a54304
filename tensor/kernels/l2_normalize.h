// Unit-length rows; formulas in autograd/ops/l2_normalize.h. Arrays (rows, cols), contiguous, results overwritten.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// `length` (rows) receives max(norm, eps).
template <class T>
inline constinit Kernel<void(const T* x, T* y, Accumulator<T>* length, int64_t rows, int64_t cols, double eps)>
    l2_normalize_forward{"l2_normalize"};

template <class T>
inline constinit Kernel<void(const T* y, const Accumulator<T>* length, const T* dy, T* dx, int64_t rows, int64_t cols,
                             double eps)>
    l2_normalize_backward{"l2_normalize backward"};

}  // namespace terrace
