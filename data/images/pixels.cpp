#include "data/images/pixels.h"

#include <algorithm>
#include <cmath>

#include "tensor/base/error.h"

namespace terrace {

Tensor images_to_float(const Tensor& images) {
  check_dtype(images, DType::kU8, "images_to_float", "images");
  check_ndim(images, 4, "images_to_float", "images");
  const Tensor source = images.contiguous();
  const int64_t B = source.dim(0), area = source.dim(1) * source.dim(2), channels = source.dim(3);
  Tensor out = Tensor::empty({B, channels, source.dim(1), source.dim(2)});
  const uint8_t* from = source.data<uint8_t>();
  float* to = out.data<float>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      const uint8_t* pixels = from + b * area * channels + c;
      float* plane = to + (b * channels + c) * area;
      for (int64_t i = 0; i < area; ++i) { plane[i] = static_cast<float>(pixels[i * channels]) / 127.5f - 1.0f; }
    }
  }
  return out;
}

Tensor images_to_bytes(const Tensor& images) {
  check_dtype(images, DType::kF32, "images_to_bytes", "images");
  check_ndim(images, 4, "images_to_bytes", "images");
  const Tensor source = images.contiguous();
  const int64_t B = source.dim(0), channels = source.dim(1), area = source.dim(2) * source.dim(3);
  Tensor out = Tensor::empty({B, source.dim(2), source.dim(3), channels}, DType::kU8);
  const float* from = source.data<float>();
  uint8_t* to = out.data<uint8_t>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      const float* plane = from + (b * channels + c) * area;
      uint8_t* pixels = to + b * area * channels + c;
      for (int64_t i = 0; i < area; ++i) {
        const float value = (plane[i] + 1.0f) * 127.5f;
        // NaN, which compares false with everything, becomes 0.
        pixels[i * channels] = value > 0 ? static_cast<uint8_t>(std::lround(std::min(value, 255.0f))) : uint8_t{0};
      }
    }
  }
  return out;
}

}  // namespace terrace
