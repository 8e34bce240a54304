// Pooling of NCHW images: the slots of autograd/ops/pool2d.h. `planes` is B*C.
#pragma once

#include "tensor/base/host_device.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// Rows (columns) [begin, end) of an image.
struct PoolRange {
  int64_t begin, end;
  TERRACE_HD int64_t count() const { return end - begin; }
};

/// The part of window `i` that lies in an image of `extent` rows (columns); never empty, since pad <= kernel / 2.
/// `g`: anything with the kernel, stride and pad of a Pool2dGeometry.
template <class Geometry>
TERRACE_HD PoolRange pool_window(const Geometry& g, int64_t i, int64_t extent) {
  const int64_t first = i * g.stride - g.pad, last = first + g.kernel;
  return {first < 0 ? 0 : first, last < extent ? last : extent};
}

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
