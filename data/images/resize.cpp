#include "data/images/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

constexpr std::pair<const char*, ResizeFilter> kNames[] = {{"box", ResizeFilter::kBox},
                                                           {"bilinear", ResizeFilter::kBilinear},
                                                           {"bicubic", ResizeFilter::kBicubic},
                                                           {"lanczos", ResizeFilter::kLanczos}};

double radius_of(ResizeFilter filter) {
  switch (filter) {
    case ResizeFilter::kBox:
      return 0.5;
    case ResizeFilter::kBilinear:
      return 1;
    case ResizeFilter::kBicubic:
      return 2;
    case ResizeFilter::kLanczos:
      return 3;
  }
  return 0;
}

double sinc(double x) {
  const double t = x * std::numbers::pi;
  return t == 0 ? 1 : std::sin(t) / t;
}

double kernel(ResizeFilter filter, double x) {
  switch (filter) {
    // Half open, so that a sample on the border between two outputs counts once.
    case ResizeFilter::kBox:
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case ResizeFilter::kBilinear:
      return std::max(0.0, 1 - std::abs(x));
    case ResizeFilter::kBicubic: {
      constexpr double kA = -0.5;
      const double t = std::abs(x);
      if (t < 1) { return ((kA + 2) * t - (kA + 3)) * t * t + 1; }
      return t < 2 ? (((t - 5) * t + 8) * t - 4) * kA : 0;
    }
    case ResizeFilter::kLanczos:
      return std::abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
  return 0;
}

/// One row of three-channel pixels, resampled.
void resample_row(const uint8_t* row, const std::vector<ResampleTaps>& columns, float* out) {
  for (const ResampleTaps& taps : columns) {
    const uint8_t* pixel = row + 3 * taps.first;
    float red = 0, green = 0, blue = 0;
    for (const float weight : taps.weights) {
      red += weight * static_cast<float>(pixel[0]);
      green += weight * static_cast<float>(pixel[1]);
      blue += weight * static_cast<float>(pixel[2]);
      pixel += 3;
    }
    *out++ = red;
    *out++ = green;
    *out++ = blue;
  }
}

/// The window [top, top + rows) x [left, left + columns) of the image resized to height x width: what is cropped away
/// is not computed.
Tensor resize_window(const Tensor& image, int64_t height, int64_t width, int64_t top, int64_t left, int64_t rows,
                     int64_t columns, ResizeFilter filter) {
  const Tensor source = image.contiguous();
  const int64_t H = source.dim(0), W = source.dim(1);
  const std::vector<ResampleTaps> down = resample_taps(H, height, top, rows, filter);
  const std::vector<ResampleTaps> across = resample_taps(W, width, left, columns, filter);
  const int64_t first = down.front().first;
  const int64_t last = down.back().first + static_cast<int64_t>(down.back().weights.size());

  const size_t line = static_cast<size_t>(columns) * 3;
  std::vector<float> lines(static_cast<size_t>(last - first) * line), sum(line);
  for (int64_t y = first; y < last; ++y) {
    resample_row(source.data<uint8_t>() + y * W * 3, across, lines.data() + static_cast<size_t>(y - first) * line);
  }

  Tensor out = Tensor::empty({rows, columns, 3}, DType::kU8);
  uint8_t* to = out.data<uint8_t>();
  for (const ResampleTaps& taps : down) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    const float* from = lines.data() + static_cast<size_t>(taps.first - first) * line;
    for (const float weight : taps.weights) {
      for (size_t i = 0; i < line; ++i) { sum[i] += weight * from[i]; }
      from += line;
    }
    for (const float value : sum) { *to++ = static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 255.0f))); }
  }
  return out;
}

void check_picture(const Tensor& image, const char* op) {
  check_dtype(image, DType::kU8, op, "image");
  if (image.ndim() != 3 || image.dim(2) != 3 || image.numel() == 0) {
    throw ShapeError(cat(op, ": image must be (H, W, 3), got ", image.describe()));
  }
}

std::pair<int64_t, int64_t> short_side_extents(const Tensor& image, int64_t size) {
  const int64_t H = image.dim(0), W = image.dim(1);
  const double factor = static_cast<double>(size) / static_cast<double>(std::min(H, W));
  const auto scaled = [&](int64_t side) {
    return std::max<int64_t>(std::llround(static_cast<double>(side) * factor), 1);
  };
  return {H <= W ? size : scaled(H), W <= H ? size : scaled(W)};
}

}  // namespace

std::vector<ResampleTaps> resample_taps(int64_t in, int64_t out, int64_t begin, int64_t count, ResizeFilter filter) {
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  const double scale = std::max(ratio, 1.0);
  const double reach = radius_of(filter) * scale;
  std::vector<ResampleTaps> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const double center = (static_cast<double>(begin + i) + 0.5) * ratio;
    ResampleTaps& taps = all[static_cast<size_t>(i)];
    taps.first = std::clamp<int64_t>(static_cast<int64_t>(center - reach + 0.5), 0, in - 1);
    const int64_t last = std::clamp<int64_t>(static_cast<int64_t>(center + reach + 0.5), taps.first + 1, in);
    double sum = 0;
    std::vector<double> weights;
    for (int64_t j = taps.first; j < last; ++j) {
      weights.push_back(kernel(filter, (static_cast<double>(j) + 0.5 - center) / scale));
      sum += weights.back();
    }
    for (const double weight : weights) { taps.weights.push_back(static_cast<float>(weight / sum)); }
  }
  return all;
}

ResizeFilter resize_filter_from_name(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [text, filter] : kNames) {
    if (name == text) { return filter; }
    known.emplace_back(text);
  }
  throw ConfigError(cat("resize filter \"", name, "\" is not one of ", join_names(known)));
}

const char* name_of(ResizeFilter filter) {
  for (const auto& [text, value] : kNames) {
    if (value == filter) { return text; }
  }
  return "?";
}

Tensor resize(const Tensor& image, int64_t height, int64_t width, ResizeFilter filter) {
  check_picture(image, "resize");
  if (height < 1 || width < 1) {
    throw ShapeError(cat("resize: height and width must be positive, got ", height, " x ", width));
  }
  return resize_window(image, height, width, 0, 0, height, width, filter);
}

Tensor resize_short_side(const Tensor& image, int64_t size, ResizeFilter filter) {
  check_picture(image, "resize_short_side");
  if (size < 1) { throw ShapeError(cat("resize_short_side: size must be positive, got ", size)); }
  const auto [height, width] = short_side_extents(image, size);
  return resize_window(image, height, width, 0, 0, height, width, filter);
}

Tensor resize_and_crop(const Tensor& image, int64_t size, ResizeFilter filter) {
  check_picture(image, "resize_and_crop");
  if (size < 1) { throw ShapeError(cat("resize_and_crop: size must be positive, got ", size)); }
  const auto [height, width] = short_side_extents(image, size);
  return resize_window(image, height, width, (height - size) / 2, (width - size) / 2, size, size, filter);
}

Tensor center_crop(const Tensor& image, int64_t height, int64_t width) {
  check_picture(image, "center_crop");
  const int64_t H = image.dim(0), W = image.dim(1);
  if (height < 1 || width < 1 || height > H || width > W) {
    throw ShapeError(cat("center_crop: cannot take ", height, " x ", width, " out of ", H, " x ", W));
  }
  const int64_t top = (H - height) / 2, left = (W - width) / 2;
  return image.slice(0, top, top + height).slice(1, left, left + width).contiguous();
}

}  // namespace terrace
