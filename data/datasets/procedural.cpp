#include "data/datasets/procedural.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/datasets/image_dataset.h"
#include "data/datasets/procedural_figure.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kSide = static_cast<double>(kProceduralSize);

// Ratios to the radius: chosen so that all three look equally large, and overlap each other little.
constexpr double kSquareApothem = 0.88;
constexpr double kTriangleApothem = 0.66;

constexpr FigureKind kKinds[4] = {{FigureShape::kDisc, FigureColor::kRed},
                                  {FigureShape::kSquare, FigureColor::kRed},
                                  {FigureShape::kSquare, FigureColor::kBlue},
                                  {FigureShape::kTriangle, FigureColor::kBlue}};

/// Signed distance from a figure's outline (for polygons exact but at the corners), with the sides found once.
class Outline {
 public:
  explicit Outline(const Figure& figure) {
    const bool square = figure.shape == FigureShape::kSquare;
    sides_ = figure.shape == FigureShape::kDisc ? 0 : square ? 4 : 3;
    apothem_ = figure.radius * (sides_ == 0 ? 1 : square ? kSquareApothem : kTriangleApothem);
    for (int i = 0; i < sides_; ++i) {
      const double at = figure.angle + kPi / 2 + 2 * kPi * i / sides_;
      normals_[i][0] = std::cos(at);
      normals_[i][1] = std::sin(at);
    }
  }

  double distance(double x, double y) const {
    if (sides_ == 0) { return std::hypot(x, y) - apothem_; }
    double farthest = x * normals_[0][0] + y * normals_[0][1];
    for (int i = 1; i < sides_; ++i) { farthest = std::max(farthest, x * normals_[i][0] + y * normals_[i][1]); }
    return farthest - apothem_;
  }

 private:
  int sides_;
  double apothem_;
  double normals_[4][2] = {};
};

struct Rgb {
  double channel[3];
};

Rgb from_hsv(double hue, double saturation, double value) {
  Rgb color{};
  for (int c = 0; c < 3; ++c) {
    const int order[3] = {5, 3, 1};
    const double k = std::fmod(order[c] + std::fmod(hue + 360, 360) / 60, 6);
    color.channel[c] = value - value * saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0);
  }
  return color;
}

double between(Generator& draws, double low, double high) { return low + (high - low) * draws.next_uniform(); }

/// Noise of one pixel: uniform in [-1, 1) for each channel, ten bits each from one draw.
Rgb pixel_noise(Generator& draws) {
  const uint32_t bits = draws.next_u32();
  Rgb noise{};
  for (int c = 0; c < 3; ++c) { noise.channel[c] = static_cast<double>((bits >> (10 * c)) & 1023) / 512 - 1; }
  return noise;
}

/// A shade that changes linearly across the picture: within [-amplitude, amplitude].
struct Slope {
  double x, y;
  Slope(Generator& draws, double amplitude) {
    const double direction = between(draws, 0, 2 * kPi), steepness = between(draws, 0, amplitude);
    x = steepness * std::cos(direction);
    y = steepness * std::sin(direction);
  }
  double at(int64_t column, int64_t row) const {
    const double u = (static_cast<double>(column) + 0.5) / kSide * 2 - 1,
                 v = (static_cast<double>(row) + 0.5) / kSide * 2 - 1;
    return (x * u + y * v) / std::numbers::sqrt2;
  }
};

}  // namespace

double unit_area(FigureShape shape) {
  switch (shape) {
    case FigureShape::kDisc:
      return kPi;
    case FigureShape::kSquare:
      return 4 * kSquareApothem * kSquareApothem;
    case FigureShape::kTriangle:
      return 3 * std::sqrt(3.0) * kTriangleApothem * kTriangleApothem;
  }
  return 0;
}

double unit_reach(FigureShape shape) {
  switch (shape) {
    case FigureShape::kDisc:
      return 1;
    case FigureShape::kSquare:
      return kSquareApothem * std::numbers::sqrt2;
    case FigureShape::kTriangle:
      return 2 * kTriangleApothem;
  }
  return 0;
}

std::span<const FigureKind, 4> procedural_kinds() { return kKinds; }

double hue_of(FigureColor color) { return color == FigureColor::kRed ? 5 : 225; }

Coverage cover(const Figure& figure, double edge_width) {
  Coverage coverage{};
  const Outline outline(figure);
  const double reach = unit_reach(figure.shape) * figure.radius + edge_width;
  const auto first = [&](double center) { return std::max<int64_t>(static_cast<int64_t>(center - reach), 0); };
  const auto last = [&](double center) {
    return std::min<int64_t>(static_cast<int64_t>(center + reach) + 1, kProceduralSize);
  };
  for (int64_t row = first(figure.y); row < last(figure.y); ++row) {
    for (int64_t column = first(figure.x); column < last(figure.x); ++column) {
      const double x = static_cast<double>(column) + 0.5 - figure.x, y = static_cast<double>(row) + 0.5 - figure.y;
      const double inside = 0.5 - outline.distance(x, y) / edge_width;
      coverage[static_cast<size_t>(row * kProceduralSize + column)] = static_cast<float>(std::clamp(inside, 0.0, 1.0));
    }
  }
  return coverage;
}

const std::vector<std::string>& procedural_class_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const FigureKind& kind : kKinds) {
      for (const char* place : {"top left", "top right", "bottom left", "bottom right"}) {
        const char* color = kind.color == FigureColor::kRed ? "red" : "blue";
        const char* shape = kind.shape == FigureShape::kDisc     ? "disc"
                            : kind.shape == FigureShape::kSquare ? "square"
                                                                 : "triangle";
        all.push_back(cat(color, " ", shape, " ", place));
      }
    }
    return all;
  }();
  return names;
}

Tensor draw_figure(const Figure& figure, Generator& draws) {
  constexpr double kNoise = 0.02, kHueJitter = 12, kTint = 0.03;
  const Rgb paint = from_hsv(hue_of(figure.color) + between(draws, -kHueJitter, kHueJitter), between(draws, 0.8, 0.95),
                             between(draws, 0.8, 0.97));
  const double grey = between(draws, 0.3, 0.8);
  Rgb background{};
  for (double& channel : background.channel) { channel = grey + between(draws, -kTint, kTint); }
  const Slope background_shade(draws, 0.18), paint_shade(draws, 0.1);
  const Coverage coverage = cover(figure, 1);

  Tensor image = Tensor::empty({kProceduralSize, kProceduralSize, 3}, DType::kU8);
  uint8_t* to = image.data<uint8_t>();
  for (int64_t row = 0; row < kProceduralSize; ++row) {
    for (int64_t column = 0; column < kProceduralSize; ++column) {
      const double covered = coverage[static_cast<size_t>(row * kProceduralSize + column)];
      const double below = background_shade.at(column, row), above = 1 + paint_shade.at(column, row);
      const Rgb noise = pixel_noise(draws);
      for (int c = 0; c < 3; ++c) {
        const double value = covered * paint.channel[c] * above + (1 - covered) * (background.channel[c] + below);
        *to++ = static_cast<uint8_t>(std::lround(255 * std::clamp(value + kNoise * noise.channel[c], 0.0, 1.0)));
      }
    }
  }
  return image;
}

Tensor generate_procedural(uint64_t seed, int64_t index, int64_t label) {
  if (label < 0 || label >= kProceduralClasses) {
    throw IndexError(cat("generate_procedural: label ", label, "; there are ", kProceduralClasses, " classes"));
  }
  // One stream of draws for each picture, so that none depends on how many were made before.
  Generator draws(seed, static_cast<uint64_t>(index) * kProceduralClasses + static_cast<uint64_t>(label));
  const FigureKind& kind = kKinds[label / 4];
  Figure figure{.shape = kind.shape, .color = kind.color};
  figure.radius = between(draws, 4.4, 6.0);
  figure.angle = between(draws, -10, 10) * kPi / 180;
  constexpr double kJitter = 1.6, kQuarter = kSide / 4;
  const double margin = unit_reach(kind.shape) * figure.radius + 0.2;
  const auto place = [&](bool far) {
    const double offset = std::max(kQuarter + between(draws, -kJitter, kJitter), margin);
    return far ? kSide - offset : offset;
  };
  figure.x = place(label % 2 == 1);
  figure.y = place(label % 4 >= 2);
  return draw_figure(figure, draws);
}

void create_procedural(const std::string& path, const ProceduralOptions& options,
                       const std::function<void(int64_t done, int64_t total)>& progress) {
  if (options.train < 1 || options.test < 0) {
    throw ConfigError(
        cat("create_procedural: cannot make ", options.train, " training and ", options.test, " test images"));
  }
  constexpr int64_t kTestBegin = int64_t{1} << 40;
  ImageDatasetWriter writer(path, kProceduralSize, kProceduralSize, procedural_class_names(),
                            cat("generated figures, seed ", options.seed), options.compression);
  const int64_t total = options.train + options.test;
  int64_t done = 0;
  const auto write_split = [&](const char* name, int64_t begin, int64_t count) {
    if (count == 0) { return; }
    writer.begin_split(name);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t label = procedural_label(i);
      writer.append(generate_procedural(options.seed, begin + i, label), label);
      progress(++done, total);
    }
  };
  write_split("train", 0, options.train);
  write_split("test", kTestBegin, options.test);
  writer.commit();
}

}  // namespace terrace
