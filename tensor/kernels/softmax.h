// Softmax over rows; formulas in autograd/ops/softmax.h. All arrays (rows, cols), contiguous, results overwritten.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t rows, int64_t cols)> softmax_forward{"softmax"};
template <class T>
inline constinit Kernel<void(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols)> softmax_backward{
    "softmax backward"};
template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t rows, int64_t cols)> log_softmax_forward{"log_softmax"};
template <class T>
inline constinit Kernel<void(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols)> log_softmax_backward{
    "log_softmax backward"};

}  // namespace terrace
