// Running sums along the middle extent of (outer, extent, inner); formulas in autograd/ops/cumsum.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

enum class Scan : uint8_t { kFromFirst, kFromLast };

/// Running sums in f64.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, Scan scan, const T* x, T* y)> cumulate{
    "cumsum"};

}  // namespace terrace
