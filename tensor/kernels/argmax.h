// Positions of the largest or smallest along the middle extent of (outer, extent, inner): argmax and argmin of
// autograd/ops/argmax.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

enum class Extreme : uint8_t { kLargest, kSmallest };

/// index (outer, inner) of the extreme of x (outer, extent, inner); the first among equals, a NaN before everything.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index)>
    arg_extreme{"argmax/argmin"};

}  // namespace terrace
