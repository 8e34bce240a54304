// Positions of the largest or smallest along the middle extent of (outer, extent, inner): argmax and argmin of
// autograd/ops/argmax.h.
#pragma once

#include "tensor/base/host_device.h"
#include "tensor/device/kernel.h"

namespace terrace {

enum class Extreme : uint8_t { kLargest, kSmallest };

/// Whether a takes the place of b as the extreme, on the CPU and in CUDA kernels. Nothing takes the place of a NaN.
template <class T>
TERRACE_HD bool beats(T a, T b, Extreme extreme) {
  if (b != b) { return false; }
  return a != a || (extreme == Extreme::kLargest ? a > b : a < b);
}

/// index (outer, inner) of the extreme of x (outer, extent, inner); the first among equals, a NaN before everything.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index)>
    arg_extreme{"argmax/argmin"};

}  // namespace terrace
