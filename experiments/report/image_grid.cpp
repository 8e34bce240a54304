#include "experiments/report/image_grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "data/images/image_file.h"
#include "experiments/cli/progress.h"
#include "experiments/report/html.h"

namespace terrace {
namespace {

// A dark-to-bright ramp of even lightness, and a diverging one through white.
constexpr std::array<Rgb, 7> kRamp = {
    {{13, 17, 53}, {48, 35, 112}, {110, 44, 128}, {175, 58, 113}, {228, 91, 80}, {251, 153, 69}, {252, 236, 160}}};
constexpr std::array<Rgb, 5> kBoth = {
    {{18, 74, 158}, {113, 166, 222}, {255, 255, 255}, {231, 140, 104}, {158, 28, 38}}};
constexpr Rgb kMissing{128, 128, 128};

template <size_t N>
Rgb interpolate(const std::array<Rgb, N>& stops, double share) {
  const double place = std::clamp(share, 0.0, 1.0) * static_cast<double>(N - 1);
  const auto below = std::min(static_cast<size_t>(place), N - 2);
  const double weight = place - static_cast<double>(below);
  const auto mix = [&](uint8_t a, uint8_t b) { return static_cast<uint8_t>(std::lround(a + (b - a) * weight)); };
  const Rgb &a = stops[below], &b = stops[below + 1];
  return {mix(a.r, b.r), mix(a.g, b.g), mix(a.b, b.b)};
}

/// A square of `size` pixels of one colour, at (row, column) of a picture `width` wide.
void fill_square(uint8_t* pixels, int64_t width, int64_t row, int64_t column, int64_t size, Rgb color) {
  for (int64_t y = row; y < row + size; ++y) {
    for (int64_t x = column; x < column + size; ++x) {
      uint8_t* p = pixels + (y * width + x) * 3;
      p[0] = color.r;
      p[1] = color.g;
      p[2] = color.b;
    }
  }
}

}  // namespace

Rgb map_color(ColorMap map, double share) {
  if (std::isnan(share)) { return kMissing; }
  return map == ColorMap::kSequential ? interpolate(kRamp, share) : interpolate(kBoth, share);
}

Tensor image_grid(const Tensor& images, const GridOptions& options) {
  check_dtype(images, DType::kU8, "image_grid", "images");
  check_ndim(images, 4, "image_grid", "images");
  if (images.dim(3) != 3 || images.numel() == 0) {
    throw ShapeError(cat("image_grid: images must be (N,H,W,3) with something in them, got ", images.describe()));
  }
  const Tensor source = images.contiguous();
  const int64_t N = source.dim(0), H = source.dim(1), W = source.dim(2), scale = options.upscale, gap = options.padding;
  const int64_t columns = std::min(options.columns, N), rows = (N + columns - 1) / columns;
  const int64_t height = rows * (H * scale + gap) - gap, width = columns * (W * scale + gap) - gap;
  Tensor grid = Tensor::full({height, width, 3}, options.background, DType::kU8);
  auto* out = grid.data<uint8_t>();
  const auto* in = source.data<uint8_t>();
  for (int64_t n = 0; n < N; ++n) {
    const int64_t top = n / columns * (H * scale + gap), left = n % columns * (W * scale + gap);
    for (int64_t y = 0; y < H; ++y) {
      for (int64_t x = 0; x < W; ++x) {
        const uint8_t* p = in + ((n * H + y) * W + x) * 3;
        fill_square(out, width, top + y * scale, left + x * scale, scale, {p[0], p[1], p[2]});
      }
    }
  }
  return grid;
}

Tensor matrix_image(const Tensor& matrix, ColorMap map, double low, double high, int64_t upscale) {
  check_ndim(matrix, 2, "matrix_image", "matrix");
  const std::vector<double> values = matrix.to_vector<double>();
  if (low == high) {
    low = std::numeric_limits<double>::infinity();
    high = -low;
    for (const double v : values) {
      if (std::isfinite(v)) { low = std::min(low, v), high = std::max(high, v); }
    }
    if (map == ColorMap::kDiverging) {
      high = std::max(std::fabs(low), std::fabs(high));
      if (high == 0) { high = 1; }  // nothing but zeros: white
      low = -high;
    }
    if (!(low < high)) { high = low + 1; }
  }
  const int64_t rows = matrix.dim(0), columns = matrix.dim(1), width = columns * upscale;
  Tensor image = Tensor::empty({rows * upscale, width, 3}, DType::kU8);
  auto* pixels = image.data<uint8_t>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const double share = (values[static_cast<size_t>(r * columns + c)] - low) / (high - low);
      fill_square(pixels, width, r * upscale, c * upscale, upscale, map_color(map, share));
    }
  }
  return image;
}

std::string signed_range(const Tensor& matrix) {
  double most = 0;
  for (const double v : matrix.to_vector<double>()) {
    if (std::isfinite(v)) { most = std::max(most, std::fabs(v)); }
  }
  if (most == 0) { return "0 throughout"; }
  const std::string end = format_number(most);
  return "from -" + end + " (blue) to " + end + " (red)";
}

std::string base64(std::span<const uint8_t> bytes) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) { word = word << 8 | (j < left ? bytes[i + j] : 0); }
    for (size_t j = 0; j < 4; ++j) { out += j <= left ? kDigits[word >> (18 - 6 * j) & 63] : '='; }
  }
  return out;
}

std::string image_markup(const Tensor& image, const std::string& alt, int64_t width) {
  const std::vector<uint8_t> png = encode_png(image);
  return "<img alt=\"" + escape_html(alt) + "\" width=\"" + std::to_string(width > 0 ? width : image.dim(1)) +
         "\" src=\"data:image/png;base64," + base64(png) + "\">";
}

}  // namespace terrace
