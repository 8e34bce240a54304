// f32 convolutions through oneDNN: the only place that calls its convolutions.
//
// oneDNN picks its own blocked layouts; images are converted from and to NCHW around each call, which measures at 2 to
// 6 percent of a 3x3 convolution with 32 channels or more, while its kernels for plain NCHW take 1.3 to 3 times as
// long. What it prepared for a geometry is kept, keyed by geometry and thread count.
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
