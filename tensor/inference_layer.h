// Layers of a convolutional network run for inference, one image and one thread at a time.
//
// Between layers an image (C, H, W) lies in blocks of channels, (C/b, H, W, b) with b = inference_block(): what the
// convolutions of oneDNN compute in, so that nothing is converted on the way. The channels [c, c + n) of an image, both
// multiples of b, are one contiguous range at c * H * W: branches write their part of a concatenation in place.
// Everything that depends on the extents alone (kernels, packed weights) is made once, by the constructors.
//
// Each image is computed by one thread (tensor/device/parallel.h). So its results depend neither on its batch nor on
// the number of threads, and its activations stay in that thread's caches.
#pragma once

#include <memory>

#include "tensor/kernels/inference.h"
#include "tensor/tensor.h"

namespace terrace {

/// Channels of a block: the width of a vector, 8 or 16.
int64_t inference_block();

/// relu(conv(x, weight) + bias), the weights packed for the kernel that the library chose.
class InferenceConv {
 public:
  /// `geometry` of a batch of one. Its channels are multiples of the block; or there are 3 input channels, which then
  /// lie as in a plain (3, H, W) image. weight (O, C, kh, kw), bias (O), both f32. Throws Error where the library
  /// has no kernel.
  InferenceConv(const Conv2dGeometry& geometry, const Tensor& weight, const Tensor& bias);

  int64_t scratch_bytes() const;
  /// `scratch` is of scratch_bytes(), its thread's own. Overwrites y.
  void operator()(const float* x, float* y, void* scratch) const;
  /// The library's name of the kernel, for benchmarks.
  std::string kernel_name() const;

 private:
  struct Prepared;
  std::shared_ptr<const Prepared> prepared_;
};

class InferencePool {
 public:
  /// `geometry.planes` channels, a multiple of the block.
  InferencePool(const Pool2dGeometry& geometry, InferencePooling pooling);
  /// Overwrites y.
  void operator()(const float* x, float* y) const;

 private:
  struct Prepared;
  std::shared_ptr<const Prepared> prepared_;
};

}  // namespace terrace
