#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/datasets/procedural.h"
#include "data/datasets/procedural_figure.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr double kPi = std::numbers::pi;

// A figure is at least this far from the background across the grey axis; pure red is 1 from any grey.
constexpr double kMinChroma = 0.25;
// Pixels that the figure covers less than this are taken as noise of the background.
constexpr float kNoiseFloor = 0.15f;
// Smallest and largest area in pixels, with room around what is drawn (41 to 113).
constexpr double kMinArea = 22, kMaxArea = 190;
// Degrees from the middle of a colour's hues.
constexpr double kHueReach = 35;
// Pixels between a centroid and the picture's middle lines.
constexpr double kPlaceMargin = 1.5;
// A figure that covers less of the best drawing is none of the three.
constexpr double kMinOverlap = 0.7;

struct Picture {
  std::array<float, 3 * kProceduralPixels> rgb;  // 0..1, pixel by pixel
};

/// The two coordinates of a colour across the grey axis; greys are at the origin, whatever their brightness.
struct Chroma {
  float u = 0, v = 0;
};

Chroma chroma_of(const float* rgb) {
  return {rgb[0] - 0.5f * (rgb[1] + rgb[2]), std::numbers::sqrt3_v<float> / 2 * (rgb[1] - rgb[2])};
}

float length(Chroma c) { return std::hypot(c.u, c.v); }

/// Binomial weights 1 2 1 in both directions; what is beyond the border repeats it.
template <size_t kChannels>
void smooth(std::array<float, kChannels * kProceduralPixels>& plane) {
  constexpr size_t kSide = kProceduralSize;
  std::array<float, kChannels * kProceduralPixels> half;
  for (size_t y = 0; y < kSide; ++y) {
    const float* above = plane.data() + (y > 0 ? y - 1 : y) * kSide * kChannels;
    const float* here = plane.data() + y * kSide * kChannels;
    const float* below = plane.data() + (y + 1 < kSide ? y + 1 : y) * kSide * kChannels;
    for (size_t i = 0; i < kSide * kChannels; ++i) {
      half[y * kSide * kChannels + i] = 0.25f * (above[i] + below[i]) + 0.5f * here[i];
    }
  }
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t x = 0; x < kSide; ++x) {
      for (size_t c = 0; c < kChannels; ++c) {
        const float* row = half.data() + y * kSide * kChannels + c;
        const float left = row[(x > 0 ? x - 1 : x) * kChannels], right = row[(x + 1 < kSide ? x + 1 : x) * kChannels];
        plane[(y * kSide + x) * kChannels + c] = 0.25f * (left + right) + 0.5f * row[x * kChannels];
      }
    }
  }
}

Picture load(const Tensor& image) {
  Picture picture{};
  const Tensor source = image.contiguous();
  if (source.dtype() == DType::kU8 && source.shape() == Shape{kProceduralSize, kProceduralSize, 3}) {
    const uint8_t* from = source.data<uint8_t>();
    for (size_t i = 0; i < picture.rgb.size(); ++i) { picture.rgb[i] = static_cast<float>(from[i]) / 255; }
  } else if (source.dtype() == DType::kF32 && source.shape() == Shape{3, kProceduralSize, kProceduralSize}) {
    const float* from = source.data<float>();
    for (size_t i = 0; i < kProceduralPixels; ++i) {
      for (size_t c = 0; c < 3; ++c) {
        picture.rgb[3 * i + c] = std::clamp((from[c * kProceduralPixels + i] + 1) / 2, 0.0f, 1.0f);
      }
    }
  } else {
    throw ShapeError(
        cat("inspect_procedural: image must be u8 (32, 32, 3) or f32 (3, 32, 32), got ", image.describe()));
  }
  return picture;
}

struct Segmentation {
  bool found = false;
  Coverage coverage{};
  double hue = 0;  // degrees, of the figure
};

/// The coverage of each pixel, estimated from its colour: the colour of a pixel that the figure covers by half lies
/// half way from the background's to the figure's, whatever the shade of either. The estimate is linear, so that noise
/// averages out.
Segmentation segment(const Picture& picture) {
  std::array<Chroma, kProceduralPixels> chroma;
  std::array<size_t, kProceduralPixels> order;
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    chroma[i] = chroma_of(&picture.rgb[3 * i]);
    order[i] = i;
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(chroma[a]) < length(chroma[b]); });
  const auto mean = [&](size_t begin, size_t end) {
    Chroma sum;
    for (size_t i = begin; i < end; ++i) {
      sum.u += chroma[order[i]].u;
      sum.v += chroma[order[i]].v;
    }
    const float count = static_cast<float>(end - begin);
    return Chroma{sum.u / count, sum.v / count};
  };
  constexpr size_t kCore = 16;                               // pixels that even a small, blurred figure covers wholly
  const Chroma background = mean(0, kProceduralPixels / 2);  // a figure covers far less than half
  const Chroma figure = mean(kProceduralPixels - kCore, kProceduralPixels);
  const Chroma axis{figure.u - background.u, figure.v - background.v};

  Segmentation result;
  result.found = length(axis) >= kMinChroma;
  if (!result.found) { return result; }
  result.hue = std::atan2(figure.v, figure.u) * 180 / kPi;
  if (result.hue < 0) { result.hue += 360; }
  const float norm = axis.u * axis.u + axis.v * axis.v;
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    const float share = ((chroma[i].u - background.u) * axis.u + (chroma[i].v - background.v) * axis.v) / norm;
    result.coverage[i] = share < kNoiseFloor ? 0.0f : std::min(share, 1.0f);
  }
  return result;
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
  for (int turn = -turns; turn <= turns; ++turn) {
    for (const double size : {0.95, 1.0, 1.05}) {
      for (const double edge_width : {1.0, 2.4}) {
        const Figure figure{.shape = shape,
                            .x = x,
                            .y = y,
                            .radius = size * std::sqrt(area / unit_area(shape)),
                            .angle = turn * 4 * kPi / 180};
        Coverage drawn = cover(figure, edge_width);
        smooth<1>(drawn);
        best = std::max(best, overlap(found, drawn));
      }
    }
  }
  return best;
}

}  // namespace

ProceduralVerdict inspect_procedural(const Tensor& image) {
  Picture picture = load(image);
  smooth<3>(picture.rgb);
  const Segmentation segmentation = segment(picture);
  if (!segmentation.found) { return {}; }
  const Coverage& coverage = segmentation.coverage;

  double area = 0, x = 0, y = 0;
  for (size_t i = 0; i < kProceduralPixels; ++i) {
    area += coverage[i];
    x += coverage[i] * (static_cast<double>(i % kProceduralSize) + 0.5);
    y += coverage[i] * (static_cast<double>(i / kProceduralSize) + 0.5);
  }
  if (area < kMinArea || area > kMaxArea) { return {}; }
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
  if (verdict.confidence < kMinOverlap) { return verdict; }
  if (std::abs(x - kMiddle) < kPlaceMargin || std::abs(y - kMiddle) < kPlaceMargin) { return verdict; }

  const int64_t quadrant = (y > kMiddle ? 2 : 0) + (x > kMiddle ? 1 : 0);
  const auto kinds = procedural_kinds();
  for (size_t k = 0; k < kinds.size(); ++k) {
    if (kinds[k].shape == shape && hue_distance(segmentation.hue, hue_of(kinds[k].color)) <= kHueReach) {
      verdict.label = static_cast<int64_t>(k) * 4 + quadrant;
    }
  }
  return verdict;
}

}  // namespace terrace
