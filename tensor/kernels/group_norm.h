// Group normalisation; formulas in autograd/ops/group_norm.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// x is (samples, channels, positions); `groups` divides `channels`.
struct GroupNormLayout {
  int64_t samples, channels, positions, groups;
};
enum class NormActivation : uint8_t { kNone, kSilu };

/// `weight` and `bias` (channels) may be null (1 and 0). `mean` and `inverse_std` (samples, groups) are results too.
template <class T>
inline constinit Kernel<void(const T* x, const T* weight, const T* bias, T* y, Accumulator<T>* mean,
                             Accumulator<T>* inverse_std, GroupNormLayout layout, double eps,
                             NormActivation activation)>
    group_norm_forward{"group_norm"};

/// Overwrites dx and the sums over the positions (samples, channels) of the gradients of weight and bias.
template <class T>
inline constinit Kernel<void(const T* x, const T* weight, const T* bias, const Accumulator<T>* mean,
                             const Accumulator<T>* inverse_std, const T* dy, T* dx, Accumulator<T>* dweight_parts,
                             Accumulator<T>* dbias_parts, GroupNormLayout layout, NormActivation activation)>
    group_norm_backward{"group_norm backward"};

}  // namespace terrace
