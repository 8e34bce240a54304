// f32 convolutions through oneDNN: the only place that calls its convolutions.
//
// oneDNN picks its own blocked layouts, and images are converted from and to NCHW around each call. On an AVX2 machine
// that measures at 3 to 7 percent of a 3x3 convolution of 32 to 128 channels, while oneDNN's kernels for plain NCHW,
// and im2col with OpenBLAS's sgemm, take 1.2 to 5 times as long at every shape tried (3 to 160 channels, 4x4 to
// 128x128). What was prepared for a geometry is kept.
//
// Both are called inside each_on_one_thread (tensor/device/parallel.h): oneDNN divides a primitive among the threads
// there are when it is made, and the order of its sums with it.
#pragma once

#include "tensor/kernels/conv2d.h"

namespace terrace {

/// Arguments as conv2d_forward of tensor/kernels/conv2d.h.
void onednn_convolution(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* bias,
                        float* y);

/// Arguments as conv2d_backward of tensor/kernels/conv2d.h.
void onednn_convolution_backward(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* dy,
                                 float* dx, float* dweight, float* dbias);

}  // namespace terrace
