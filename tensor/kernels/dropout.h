// Masked scaling; formulas in autograd/ops/dropout.h. Forward and backward are the same product.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/base/host_device.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// Draws first, first + 1, ... of a stream of random numbers (tensor/base/philox.h). A `key` that is not null points at
/// seed and stream in memory of the device, which the kernel reads when it runs.
struct DrawRange {
  uint64_t seed, stream, first;
  const int64_t* key = nullptr;

  TERRACE_HD DrawRange resolved() const {
    return key == nullptr ? *this : DrawRange{static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1]), first};
  }
};

/// y[i] = draw i, in [0, 1).
inline constinit Kernel<void(float* y, int64_t count, DrawRange draws)> uniform_draws{"rand"};

/// y[i] = draw i < p ? replacement : x[i].
inline constinit Kernel<void(const int64_t* x, int64_t* y, int64_t count, DrawRange draws, double p,
                             int64_t replacement)>
    replace_indices{"replace_indices"};

/// y[i] = x[i] * (draw i >= p ? factor : 0) for `count` elements.
template <class T>
inline constinit Kernel<void(const T* x, T* y, int64_t count, DrawRange draws, double p, double factor)> dropout_apply{
    "dropout"};

/// y[r, c] = x[r, c] * (draws[r] >= p ? factor : 0) for (rows, cols).
template <class T>
inline constinit Kernel<void(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor)>
    drop_path_apply{"drop_path"};

}  // namespace terrace
