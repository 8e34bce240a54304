// Reductions over the middle extent of a contiguous (A, R, C) array: y[a][c] = reduce over r of x[a][r][c].
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// Sums in f64 over blocks of f32 (f64) partial sums. The partition depends on the extents only, never on the threads.
template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t A, int64_t R, int64_t C)> reduce_sum{"sum"};

/// Maximum; NaN wins. R >= 1.
template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t A, int64_t R, int64_t C)> reduce_max{"max"};

/// Sum of squares in f64.
template <class T>
inline constinit Kernel<double(const T* x, int64_t count)> reduce_squares{"squared_norm"};

template <class T>
inline constinit Kernel<bool(const T* x, int64_t count)> any_nan{"has_nan"};

}  // namespace terrace
