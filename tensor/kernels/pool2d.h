// Pooling of NCHW images: the slots of autograd/ops/pool2d.h. `planes` is B*C.
#pragma once

#include "tensor/kernel.h"

namespace terrace {

struct Pool2dGeometry {
  int64_t planes = 0, height = 0, width = 0, kernel = 1, stride = 1, pad = 0;
  int64_t out_height() const { return (height + 2 * pad - kernel) / stride + 1; }
  int64_t out_width() const { return (width + 2 * pad - kernel) / stride + 1; }
};

/// x (planes,H,W) -> y (planes,h,w). `divisor` divides every sum; 0: the number of the window's positions in the image.
template <class T>
inline constinit Kernel<void(const Pool2dGeometry& geometry, int64_t divisor, const T* x, T* y)> avg_pool2d_forward{
    "avg_pool2d"};

/// Overwrites dx.
template <class T>
inline constinit Kernel<void(const Pool2dGeometry& geometry, int64_t divisor, const T* dy, T* dx)> avg_pool2d_backward{
    "avg_pool2d backward"};

/// y and the position in its plane (row * W + column) of the element that won each window.
template <class T>
inline constinit Kernel<void(const Pool2dGeometry& geometry, const T* x, T* y, int64_t* winner)> max_pool2d_forward{
    "max_pool2d"};

/// Overwrites dx.
template <class T>
inline constinit Kernel<void(const Pool2dGeometry& geometry, const int64_t* winner, const T* dy, T* dx)>
    max_pool2d_backward{"max_pool2d backward"};

}  // namespace terrace
