// Elements by their position; formulas in autograd/ops/gather.h. A tensor is seen as (outer, extent, inner) around the
// dimension that is indexed.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

/// y (outer, count, inner) = x (outer, extent, inner) at index (outer, count, inner), whose range the card has checked.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, int64_t count, const T* x,
                             const int64_t* index, T* y)>
    gather_forward{"gather"};

/// Overwrites dx (outer, extent, inner): dy summed over equal indices, in their order.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index,
                             const T* dy, T* dx)>
    gather_backward{"gather backward"};

}  // namespace terrace
