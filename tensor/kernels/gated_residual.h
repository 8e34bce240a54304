// x + gamma * y with one gamma per sample and channel; formulas in autograd/ops/gated_residual.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// x and y are (samples, rows, cols); gamma (samples, cols), or one row (cols) for all samples where the stride is 0.
struct GateLayout {
  int64_t samples, rows, cols;
  int64_t gamma_stride;
};

/// Rows of a sample that one partial sum of gamma's gradient covers.
inline constexpr int64_t kGateBlock = 64;
inline int64_t gate_blocks(int64_t rows) { return (rows + kGateBlock - 1) / kGateBlock; }

template <class T>
inline constinit Kernel<void(const T* x, const T* y, const T* gamma, T* out, GateLayout layout)> gated_residual_forward{
    "gated_residual"};

/// Overwrites dy and the partial sums (samples, gate_blocks(rows), cols) of gamma's gradient.
template <class T>
inline constinit Kernel<void(const T* y, const T* gamma, const T* dout, T* dy, Accumulator<T>* dgamma_parts,
                             GateLayout layout)>
    gated_residual_backward{"gated_residual backward"};

}  // namespace terrace
