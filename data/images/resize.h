// Resizing and cropping of u8 (H, W, 3) pictures, antialiased: the filter widens by the factor of reduction.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

enum class ResizeFilter : uint8_t { kBox, kBilinear, kBicubic, kLanczos };
ResizeFilter resize_filter_from_name(const std::string& name);  // "box" ...; ConfigError lists the names
const char* name_of(ResizeFilter filter);

/// What one output sample takes: weights of the inputs first, first + 1, ...; their sum is 1.
struct ResampleTaps {
  int64_t first = 0;
  std::vector<float> weights;
};
/// The taps of outputs [begin, begin + count) of a resize from `in` to `out` samples, by the formula of resize().
std::vector<ResampleTaps> resample_taps(int64_t in, int64_t out, int64_t begin, int64_t count, ResizeFilter filter);

/// Separable, horizontal first, weights normalised at the borders, f32 inside, rounded once at the end:
/// out[i] = sum_j k((j + 0.5 - c_i) / s) in[j] / sum, with c_i = (i + 0.5) * in/out and s = max(in/out, 1).
/// k: box |x|<=1/2, triangle |x|<1, cubic a = -0.5 |x|<2, Lanczos sinc(x) sinc(x/3) |x|<3.
Tensor resize(const Tensor& image, int64_t height, int64_t width, ResizeFilter filter);
/// The shorter side becomes `size`, the longer keeps the proportion (rounded).
Tensor resize_short_side(const Tensor& image, int64_t size, ResizeFilter filter);
/// The square of `size` in the middle of resize_short_side(image, size), without computing the rest.
Tensor resize_and_crop(const Tensor& image, int64_t size, ResizeFilter filter);
/// The (height, width) in the middle. Throws ShapeError where the image is smaller.
Tensor center_crop(const Tensor& image, int64_t height, int64_t width);

}  // namespace terrace
