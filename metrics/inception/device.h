// The layers of Inception-v3 on a device: batches of images, channels last, by the kernels of
// tensor/kernels/inference.h.
#pragma once

#include <vector>

#include "metrics/inception/network.h"

namespace terrace {

class InceptionDeviceNetwork {
 public:
  /// The steps that the reads need, with weights and activations of `dtype`, f32 or bf16. Throws DTypeError; ShapeError
  /// for another network's weights.
  InceptionDeviceNetwork(const TensorFile& weights, std::vector<InceptionRead> reads, Device device, DType dtype);

  /// images (N, 3, 299, 299) f32, on the device -> a row for each image of what each read is about, f32, there. Means
  /// are summed in f32.
  std::vector<Tensor> operator()(const Tensor& images) const;

  Device device() const { return device_; }

 private:
  struct Layer {
    InceptionStep step;
    int64_t width = 0;    // channels of the image that the step writes a part of
    Tensor weight, bias;  // (O, kh, kw, C) and (O); undefined for a pool
  };
  Tensor channels_last_input(const Tensor& images) const;
  void run(const Layer& layer, const Tensor& from, const Tensor& to) const;

  std::vector<Layer> layers_;
  std::vector<InceptionRead> reads_;
  Device device_;
  DType dtype_;
};

}  // namespace terrace
