// Pictures for the report: grids of u8 images, matrices as colours, data URIs.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace terrace {

struct GridOptions {
  int64_t columns = 8;
  int64_t padding = 2;  // pixels between images, after upscaling
  int64_t upscale = 2;  // nearest neighbour
  uint8_t background = 128;
};

/// images: u8 (N, H, W, 3), filled row by row; the last row may stay incomplete. Gives u8 (h, w, 3).
/// Throws ShapeError, DTypeError.
Tensor image_grid(const Tensor& images, const GridOptions& options);

enum class ColorMap : uint8_t { kSequential, kDiverging };  // dark to bright; blue - white - red around 0

/// matrix: 2-D; values clamped to [low, high] (equal: from the data; symmetric for kDiverging). NaN is grey.
/// u8 (rows * upscale, columns * upscale, 3).
Tensor matrix_image(const Tensor& matrix, ColorMap map, double low = 0, double high = 0, int64_t upscale = 1);

/// What matrix_image's diverging colours of a matrix stand for, in words: "from -0.71 (blue) to 0.71 (red)".
std::string signed_range(const Tensor& matrix);

/// The colour of a share in [0, 1].
struct Rgb {
  uint8_t r, g, b;
};
Rgb map_color(ColorMap map, double share);

std::string base64(std::span<const uint8_t> bytes);
/// <img> with the picture inside; `alt` says what it shows. `width` > 0 sets the displayed width in pixels.
std::string image_markup(const Tensor& image, const std::string& alt, int64_t width = 0);

}  // namespace terrace
