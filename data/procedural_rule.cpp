#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/procedural.h"
#include "data/procedural_figure.h"
#include "tensor/error.h"

namespace terrace {
namespace {

constexpr double kPi = std::numbers::pi;

// A figure has at least this much more colour (largest minus smallest channel, of 1) than the ground.
constexpr double kLeastChroma = 0.25;
// Pixels that the figure covers less than this are taken as noise of the ground.
constexpr float kNoiseFloor = 0.15f;
// Smallest and largest area in pixels, with room around what is drawn (41 to 113).
constexpr double kLeastArea = 22, kMostArea = 190;
// Degrees from the middle of a colour's hues.
constexpr double kHueReach = 35;
// Pixels between a centroid and the picture's middle lines.
constexpr double kPlaceMargin = 1.5;
// A figure that covers less of the best drawing is none of the three.
constexpr double kLeastOverlap = 0.7;

struct Picture {
  std::array<float, 3 * kProceduralPixels> rgb;  // 0..1, pixel by pixel
};

Picture load(const Tensor& image) {
  Picture picture{};
  const Tensor source = image.contiguous();
  if (source.dtype() == DType::kU8 && source.shape() == Shape{kProceduralSize, kProceduralSize, 3}) {
    const uint8_t* from = source.data<uint8_t>();
    for (size_t i = 0; i < picture.rgb.size(); ++i) picture.rgb[i] = static_cast<float>(from[i]) / 255;
  } else if (source.dtype() == DType::kF32 && source.shape() == Shape{3, kProceduralSize, kProceduralSize}) {
    const float* from = source.data<float>();
    for (size_t i = 0; i < kProceduralPixels; ++i)
      for (size_t c = 0; c < 3; ++c)
        picture.rgb[3 * i + c] = std::clamp((from[c * kProceduralPixels + i] + 1) / 2, 0.0f, 1.0f);
  } else {
    throw ShapeError(
        cat("inspect_procedural: image must be u8 (32, 32, 3) or f32 (3, 32, 32), got ", image.describe()));
  }
  return picture;
}

/// The coverage that the colour of each pixel speaks for: on grey ground a pixel that the figure covers by half has
/// half its chroma. False where nothing stands out.
bool find_coverage(const Picture& picture, Coverage& coverage) {
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    const auto [low, high] = std::minmax({picture.rgb[3 * i], picture.rgb[3 * i + 1], picture.rgb[3 * i + 2]});
    coverage[i] = high - low;
  }
  Coverage sorted = coverage;
  std::sort(sorted.begin(), sorted.end());
  const float ground = sorted[kProceduralPixels / 2];  // a figure covers far less than half
  constexpr size_t kCore = 16;                         // pixels that even a small, blurred figure covers wholly
  float figure = 0;
  for (size_t i = kProceduralPixels - kCore; i < kProceduralPixels; ++i) figure += sorted[i] / kCore;
  if (figure - ground < kLeastChroma) return false;
  for (float& value : coverage) {
    value = std::clamp((value - ground) / (figure - ground), 0.0f, 1.0f);
    if (value < kNoiseFloor) value = 0;
  }
  return true;
}

double mean_hue(const Picture& picture, const Coverage& coverage) {
  double sum[3] = {};
  for (size_t i = 0; i < kProceduralPixels; ++i)
    if (coverage[i] > 0.5f)
      for (size_t c = 0; c < 3; ++c) sum[c] += picture.rgb[3 * i + c];
  // Hue as the angle in the plane across the grey axis.
  const double hue = std::atan2(std::sqrt(3.0) * (sum[1] - sum[2]), 2 * sum[0] - sum[1] - sum[2]) * 180 / kPi;
  return hue < 0 ? hue + 360 : hue;
}

double hue_distance(double a, double b) {
  const double distance = std::fmod(std::abs(a - b), 360);
  return std::min(distance, 360 - distance);
}

double overlap(const Coverage& a, const Coverage& b) {
  double common = 0, all = 0;
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    common += std::min(a[i], b[i]);
    all += std::max(a[i], b[i]);
  }
  return all > 0 ? common / all : 0;
}

/// The best overlap with a drawing of `shape` of about the same area in the same place, sharp or blurred.
double best_overlap(FigureShape shape, const Coverage& found, double area, double x, double y) {
  double best = 0;
  const int turns = shape == FigureShape::kDisc ? 0 : 3;
  for (int turn = -turns; turn <= turns; ++turn)
    for (const double size : {0.95, 1.0, 1.05})
      for (const double edge_width : {1.2, 2.6}) {
        const Figure figure{.shape = shape,
                            .x = x,
                            .y = y,
                            .radius = size * std::sqrt(area / unit_area(shape)),
                            .angle = turn * 4 * kPi / 180};
        best = std::max(best, overlap(found, cover(figure, edge_width)));
      }
  return best;
}

}  // namespace

ProceduralVerdict inspect_procedural(const Tensor& image) {
  const Picture picture = load(image);
  Coverage coverage;
  if (!find_coverage(picture, coverage)) return {};

  double area = 0, x = 0, y = 0;
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    area += coverage[i];
    x += coverage[i] * (static_cast<double>(i % kProceduralSize) + 0.5);
    y += coverage[i] * (static_cast<double>(i / kProceduralSize) + 0.5);
  }
  if (area < kLeastArea || area > kMostArea) return {};
  x /= area;
  y /= area;

  ProceduralVerdict verdict;
  FigureShape shape = FigureShape::kDisc;
  for (const FigureShape candidate : {FigureShape::kDisc, FigureShape::kSquare, FigureShape::kTriangle}) {
    const double fit = best_overlap(candidate, coverage, area, x, y);
    if (fit > verdict.confidence) {
      verdict.confidence = fit;
      shape = candidate;
    }
  }
  constexpr double kMiddle = static_cast<double>(kProceduralSize) / 2;
  if (verdict.confidence < kLeastOverlap) return verdict;
  if (std::abs(x - kMiddle) < kPlaceMargin || std::abs(y - kMiddle) < kPlaceMargin) return verdict;

  const double hue = mean_hue(picture, coverage);
  const int64_t quadrant = (y > kMiddle ? 2 : 0) + (x > kMiddle ? 1 : 0);
  const auto kinds = procedural_kinds();
  for (size_t k = 0; k < kinds.size(); ++k)
    if (kinds[k].shape == shape && hue_distance(hue, hue_of(kinds[k].color)) <= kHueReach)
      verdict.label = static_cast<int64_t>(k) * 4 + quadrant;
  return verdict;
}

}  // namespace terrace
