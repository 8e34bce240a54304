// Loops around the matrix products by which the CPU computes some convolutions (tensor/convolution/conv2d.cpp), which
// take no working memory. CUDA has no entries here.
#pragma once

#include <cstdint>

#include "tensor/device/kernel.h"
#include "tensor/kernels/conv2d.h"

namespace terrace {

/// columns[(c, u, v), (i, j)] = image[c, i * stride + u - top, j * stride + v - left], 0 outside the image: im2col.
inline constinit Kernel<void(const Conv2dGeometry& geometry, const double* image, double* columns)> conv2d_unfold{
    "conv2d (products)"};

/// The transpose of unfold: overwrites image with the sums of its columns.
inline constinit Kernel<void(const Conv2dGeometry& geometry, const double* columns, double* image)> conv2d_fold{
    "conv2d (products)"};

/// y (channels, positions) = bias (channels), or 0 where bias is null.
template <class T>
inline constinit Kernel<void(const T* bias, int64_t channels, int64_t positions, T* y)> conv2d_fill_bias{
    "conv2d (products)"};

/// dbias (channels) = [dbias +] the sums of dy (channels, positions) over the positions.
template <class T>
inline constinit Kernel<void(const T* dy, int64_t channels, int64_t positions, Write write, T* dbias)> conv2d_sum_bias{
    "conv2d (products)"};

}  // namespace terrace
