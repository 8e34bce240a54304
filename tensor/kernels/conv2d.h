// Convolution of NCHW images: the slots of autograd/ops/conv2d.h. The CPU's are filled by
// tensor/convolution/conv2d.cpp.
//
// On the CPU f32 runs by one sgemm per image for 1x1 kernels, by Winograd's algorithm for 3x3 kernels of stride 1 on
// all but small images (forward, and the gradient of x; tensor/kernels/winograd.h), else through oneDNN
// (tensor/convolution/onednn_conv.h); f64 runs through im2col and dgemm; bf16 is converted by the card. On a GPU all
// three run through cuDNN (cuda/libraries/conv2d.cpp).
#pragma once

#include "tensor/base/host_device.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// Every extent of one convolution; all are checked by the card, and none is 0.
struct Conv2dGeometry {
  int64_t batch = 0, in_channels = 0, height = 0, width = 0;
  int64_t out_channels = 0, kernel_height = 0, kernel_width = 0, stride = 1;
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  bool operator==(const Conv2dGeometry&) const = default;
  TERRACE_HD int64_t out_height() const { return (height + top + bottom - kernel_height) / stride + 1; }
  TERRACE_HD int64_t out_width() const { return (width + left + right - kernel_width) / stride + 1; }
};

/// x (B,C,H,W), weight (O,C,kh,kw), bias (O) or null -> y (B,O,h,w), overwritten.
template <class T>
inline constinit Kernel<void(const Conv2dGeometry& geometry, const T* x, const T* weight, const T* bias, T* y)>
    conv2d_forward{"conv2d"};

/// Overwrites dx, dweight and dbias; dx and dweight may be null and are then not computed; dbias may be null, and must
/// be where dweight is. `x` is read for dweight alone, `weight` for dx alone.
template <class T>
inline constinit Kernel<void(const Conv2dGeometry& geometry, const T* x, const T* weight, const T* dy, T* dx,
                             T* dweight, T* dbias)>
    conv2d_backward{"conv2d backward"};

}  // namespace terrace
