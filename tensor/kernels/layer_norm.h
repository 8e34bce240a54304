// Layer normalisation over rows, with per-channel gain and shift; formulas in autograd/ops/layer_norm.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// x is (samples, rows, cols). Gain and shift are (samples, cols), or one row (cols) for all samples where their stride
/// is 0. The factor of a channel is gain_offset + gain: 0 for the weight of an affine layer norm, 1 for a modulation.
struct LayerNormLayout {
  int64_t samples, rows, cols;
  int64_t gain_stride, shift_stride;
  double gain_offset;
};

/// Rows of a sample that one partial sum of the gradients of gain and shift covers: fixed, so that the sums do not
/// depend on the number of threads.
inline constexpr int64_t kLayerNormBlock = 64;
inline int64_t layer_norm_blocks(int64_t rows) { return (rows + kLayerNormBlock - 1) / kLayerNormBlock; }

/// `gain` and `shift` may be null (1 and 0). `mean` and `inverse_std` (samples, rows) are results too.
template <class T>
inline constinit Kernel<void(const T* x, const T* gain, const T* shift, T* y, Accumulator<T>* mean,
                             Accumulator<T>* inverse_std, LayerNormLayout layout, double eps)>
    layer_norm_forward{"layer_norm"};

/// Overwrites dx and, where they are not null, the partial sums (samples, layer_norm_blocks(rows), cols).
template <class T>
inline constinit Kernel<void(const T* x, const T* gain, const Accumulator<T>* mean, const Accumulator<T>* inverse_std,
                             const T* dy, T* dx, Accumulator<T>* dgain_parts, Accumulator<T>* dshift_parts,
                             LayerNormLayout layout)>
    layer_norm_backward{"layer_norm backward"};

}  // namespace terrace
