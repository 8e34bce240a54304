// Layers of a convolutional network that only runs forward, on a device: batches of images, channels last. The CPU runs
// such networks an image at a time (tensor/inference_layer.h) and has no entries here.
//
// Images are (B, H, W, C), weights (O, kh, kw, C). What a layer writes may be some channels of a wider image: the next
// pixel of y is `pixel_stride` elements on, so that branches write their part of a concatenation in place.
#pragma once

#include "tensor/kernels/conv2d.h"
#include "tensor/kernels/pool2d.h"

namespace terrace {

enum class InferencePooling : uint8_t {
  kMax,             // the padding never wins; NaN is larger than everything
  kMeanWithoutPad,  // the mean over a window's positions inside the image
};

/// y = relu(conv(x, weight) + bias), bias (O). f32, or bf16 with f32 sums and one rounding. Of a sum that is NaN it may
/// make 0, as cuDNN does: weights are finite.
template <class T>
inline constinit Kernel<void(const Conv2dGeometry& geometry, int64_t pixel_stride, const T* x, const T* weight,
                             const T* bias, T* y)>
    inference_conv{"inference conv"};

/// Pools `channels` channels of geometry.planes images.
template <class T>
inline constinit Kernel<void(const Pool2dGeometry& geometry, int64_t channels, InferencePooling pooling,
                             int64_t pixel_stride, const T* x, T* y)>
    inference_pool{"inference pool"};

/// x (images, channels, pixels), planes as images are kept elsewhere -> y (images, pixels, stored), of which the
/// channels behind the last are 0.
template <class T>
inline constinit Kernel<void(int64_t images, int64_t channels, int64_t pixels, int64_t stored, const float* x, T* y)>
    channels_last{"channels last"};

}  // namespace terrace
