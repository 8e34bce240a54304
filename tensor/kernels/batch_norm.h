// Batch normalisation with given statistics; formulas in autograd/ops/batch_norm.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// x is (samples, channels, positions).
struct BatchNormLayout {
  int64_t samples, channels, positions;
};

/// `mean` and `variance` (channels); `weight` and `bias` (channels) may be null (1 and 0).
template <class T>
inline constinit Kernel<void(const T* x, const T* mean, const T* variance, const T* weight, const T* bias, T* y,
                             BatchNormLayout layout, double eps)>
    batch_norm_forward{"batch_norm_eval"};

/// Overwrites dx and the sums over the positions (samples, channels) of the gradients of weight and bias.
template <class T>
inline constinit Kernel<void(const T* x, const T* mean, const T* variance, const T* weight, const T* dy, T* dx,
                             Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, BatchNormLayout layout,
                             double eps)>
    batch_norm_backward{"batch_norm_eval backward"};

}  // namespace terrace
