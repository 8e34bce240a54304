// How often values occur: autograd/ops/bincount.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

/// Adds to `bins` how often each value of x occurs; every value is below the number of bins.
inline constinit Kernel<void(int64_t count, const int64_t* x, int64_t* bins)> count_bins{"bincount"};

}  // namespace terrace
