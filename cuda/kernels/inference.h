// Convolutions of tensor/kernels/inference.h without cuDNN (cuda/kernels/inference.cu): what cuda-host computes them
// by, and what a GPU falls back to.
#pragma once

#include "tensor/kernels/inference.h"

namespace terrace::cuda {

/// Arguments as inference_conv's; each sum in the order of (u, v, c).
template <class T>
void tiled_inference_conv(const Conv2dGeometry& geometry, int64_t pixel_stride, const T* x, const T* weight,
                          const T* bias, T* y);

}  // namespace terrace::cuda
