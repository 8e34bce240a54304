// Convolutions without cuDNN (cuda/kernels/conv2d.cu): what cuda-host computes them by, and what a GPU falls back to
// where cuDNN has no deterministic algorithm.
#pragma once

#include "tensor/kernels/conv2d.h"

namespace terrace::cuda {

/// Arguments as the slots' in tensor/kernels/conv2d.h; sums in the order of (c, u, v), (o, u, v) and (b, i, j).
template <class T>
void tiled_convolution(const Conv2dGeometry& geometry, const T* x, const T* weight, const T* bias, T* y);
template <class T>
void tiled_gradient_of_x(const Conv2dGeometry& geometry, const T* weight, const T* dy, T* dx);
template <class T>
void tiled_gradient_of_weight(const Conv2dGeometry& geometry, const T* x, const T* dy, T* dweight);
/// dbias (O) = dy (B, O, positions) summed.
template <class T>
void gradient_of_bias(const Conv2dGeometry& geometry, const T* dy, T* dbias);

}  // namespace terrace::cuda
