#include "metrics/resize.h"

#include <algorithm>
#include <vector>

#include "data/image_resize.h"
#include "metrics/inception_plan.h"
#include "tensor/kernels/interpolate.h"

namespace terrace {
namespace {

constexpr int64_t kSize = kInceptionSize;
constexpr int64_t kChannels = 3;
constexpr InceptionResize kResizes[] = {InceptionResize::kPytorch, InceptionResize::kTf1, InceptionResize::kClean};

/// The matrix (299, inputs) of one direction, by rows.
class Taps {
 public:
  Taps(int64_t inputs, InceptionResize resize) : inputs_(inputs) {
    for (int64_t i = 0; i < kSize; ++i) {
      if (resize == InceptionResize::kClean) {
        add_bicubic(i);
      } else {
        add_bilinear(source(i, resize));
      }
      begin_.push_back(static_cast<int64_t>(position_.size()));
    }
  }
  SparseRows<float> rows() const { return {kSize, inputs_, begin_.data(), position_.data(), weight_.data()}; }

 private:
  double source(int64_t i, InceptionResize resize) const {
    const double scale = static_cast<double>(inputs_) / static_cast<double>(kSize);
    if (resize == InceptionResize::kTf1) return static_cast<double>(i) * scale;
    return std::max(0.0, (static_cast<double>(i) + 0.5) * scale - 0.5);
  }
  void add(int64_t position, float weight) {
    position_.push_back(position);
    weight_.push_back(weight);
  }
  void add_bilinear(double x) {
    const auto low = std::min(static_cast<int64_t>(x), inputs_ - 1);
    const double part = x - static_cast<double>(low);
    add(low, static_cast<float>(1 - part));
    add(std::min(low + 1, inputs_ - 1), static_cast<float>(part));
  }
  void add_bicubic(int64_t i) {
    const ResampleTaps taps = resample_taps(inputs_, kSize, i, 1, ResizeFilter::kBicubic).front();
    for (size_t j = 0; j < taps.weights.size(); ++j) add(taps.first + static_cast<int64_t>(j), taps.weights[j]);
  }

  int64_t inputs_;
  std::vector<int64_t> begin_{0}, position_;
  std::vector<float> weight_;
};

/// (N, H, W, 3) u8 -> (N, 3, H, W) f32
Tensor planes_of(const Tensor& images) { return images.permute({0, 3, 1, 2}).to(DType::kF32).contiguous(); }

}  // namespace

const char* name_of(InceptionResize resize) {
  constexpr const char* kNames[] = {"pytorch", "tf1", "clean"};
  return kNames[static_cast<size_t>(resize)];
}

InceptionResize inception_resize_from_name(const std::string& name) {
  std::string known;
  for (const InceptionResize resize : kResizes) {
    if (name == name_of(resize)) return resize;
    known += cat(known.empty() ? "" : ", ", name_of(resize));
  }
  throw ConfigError(cat("resize \"", name, "\" is not one of ", known));
}

Tensor inception_resized(const Tensor& images, InceptionResize resize) {
  check_dtype(images, DType::kU8, "inception_resized", "images");
  check_ndim(images, 4, "inception_resized", "images");
  const int64_t count = images.dim(0), height = images.dim(1), width = images.dim(2);
  check_shape(images, {count, height, width, kChannels}, "inception_resized", "images");
  if (height < 1 || width < 1) {
    throw ShapeError(cat("inception_resized: images must have pixels, got ", images.describe()));
  }
  const Taps down(height, resize), across(width, resize);
  Tensor out = Tensor::empty({count, kChannels, kSize, kSize});
  if (count == 0) return out;
  const Tensor planes = planes_of(images);
  const Tensor scratch = Tensor::empty({count * kChannels, resample_scratch(kSize, height, kSize, width)});
  resample<float>(kCpu, count * kChannels, down.rows(), across.rows(), planes.data<float>(), scratch.data<float>(),
                  out.data<float>());
  return out;
}

Tensor inception_input(const Tensor& images, InceptionResize resize) {
  Tensor out = inception_resized(images, resize);
  float* v = out.data<float>();
  const int64_t count = out.numel();
  if (resize == InceptionResize::kPytorch) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; ++i) v[i] = 2 * (v[i] / 255) - 1;
  } else {
    // Bilinear values lie in 0..255 already: clipping is for bicubic ones.
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; ++i) v[i] = (std::clamp(v[i], 0.0f, 255.0f) - 128) / 128;
  }
  return out;
}

}  // namespace terrace
