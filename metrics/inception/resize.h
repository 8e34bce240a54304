// The three ways in which published evaluators bring images to Inception's 299 x 299. They differ by more than many
// results do, above all from small images: a number names the one that it was computed with.
//
//   kPytorch  pytorch-fid: bilinear, x = (i + 0.5) * in/299 - 0.5 clamped at 0, no antialias. White is 1: 2 v/255 - 1
//   kTf1      TensorFlow 1, in ADM's evaluator: bilinear, x = i * in/299, no antialias.       (v - 128) / 128
//   kClean    clean-fid: PIL's bicubic (a = -0.5) on float channels, antialiased, clipped to [0, 255].  (v - 128) / 128
//
// where x is the place between pixels that output i reads, and v a value in 0..255. Places and weights are found in f64
// and applied in f32. (PyTorch and TensorFlow find places in f32: their pixels are off by up to 4e-4 of 255 at 400
// rows.)
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace terrace {

enum class InceptionResize : uint8_t { kPytorch, kTf1, kClean };
const char* name_of(InceptionResize resize);                          // "pytorch", "tf1", "clean"
InceptionResize inception_resize_from_name(const std::string& name);  // ConfigError lists the names

/// What the network takes: (N, H, W, 3) u8 -> (N, 3, 299, 299) f32, on the images' device. Throws ShapeError,
/// DTypeError.
Tensor inception_input(const Tensor& images, InceptionResize resize);

/// The resize alone: values on the scale of 0..255, neither clipped nor shifted.
Tensor inception_resized(const Tensor& images, InceptionResize resize);

}  // namespace terrace
