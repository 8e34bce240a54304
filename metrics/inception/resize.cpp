#include "metrics/inception/resize.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "data/images/resize.h"
#include "metrics/inception/plan.h"
#include "tensor/base/names.h"
#include "tensor/kernels/interpolate.h"
#include "tensor/pointwise.h"

namespace terrace {
namespace {

constexpr int64_t kSize = kInceptionSize;
constexpr int64_t kChannels = 3;
constexpr InceptionResize kResizes[] = {InceptionResize::kPytorch, InceptionResize::kTf1, InceptionResize::kClean};

/// The matrix (299, inputs) of one direction, by rows, on a device.
struct TapMatrix {
  int64_t inputs = 0;
  Tensor begin, position, weight;
  SparseRows<float> rows() const {
    return {kSize, inputs, begin.data<int64_t>(), position.data<int64_t>(), weight.data<float>()};
  }
};

/// Computes the matrix.
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
  TapMatrix matrix(Device device) const {
    const auto entries = static_cast<int64_t>(position_.size());
    return {inputs_, Tensor::from(begin_, {kSize + 1}).to(device), Tensor::from(position_, {entries}).to(device),
            Tensor::from(weight_, {entries}).to(device)};
  }

 private:
  double source(int64_t i, InceptionResize resize) const {
    const double scale = static_cast<double>(inputs_) / static_cast<double>(kSize);
    if (resize == InceptionResize::kTf1) { return static_cast<double>(i) * scale; }
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
    for (size_t j = 0; j < taps.weights.size(); ++j) { add(taps.first + static_cast<int64_t>(j), taps.weights[j]); }
  }

  int64_t inputs_;
  std::vector<int64_t> begin_{0}, position_;
  std::vector<float> weight_;
};

/// The matrices are kept, as a set of images has few sizes.
TapMatrix taps_for(int64_t inputs, InceptionResize resize, Device device) {
  constexpr size_t kMaxSizes = 256;  // beyond them the cache is emptied
  using Key = std::tuple<int64_t, InceptionResize, DeviceType, int>;
  static std::mutex mutex;
  static std::map<Key, TapMatrix> made;
  const std::lock_guard lock(mutex);
  const Key key{inputs, resize, device.type, device.index};
  if (const auto found = made.find(key); found != made.end()) { return found->second; }
  if (made.size() >= kMaxSizes) { made.clear(); }
  return made.emplace(key, Taps(inputs, resize).matrix(device)).first->second;
}

/// (N, H, W, 3) u8 -> (N, 3, H, W) f32
Tensor planes_of(const Tensor& images) {
  check_dtype(images, DType::kU8, "inception_resized", "images");
  check_ndim(images, 4, "inception_resized", "images");
  const int64_t count = images.dim(0), height = images.dim(1), width = images.dim(2);
  check_shape(images, {count, height, width, kChannels}, "inception_resized", "images");
  if (height < 1 || width < 1) {
    throw ShapeError(cat("inception_resized: images must have pixels, got ", images.describe()));
  }
  return images.permute({0, 3, 1, 2}).to(DType::kF32).contiguous();
}

Tensor resampled(const Tensor& planes, InceptionResize resize) {
  const Device device = planes.device();
  const int64_t count = planes.dim(0), height = planes.dim(2), width = planes.dim(3);
  Tensor out = Tensor::empty({count, kChannels, kSize, kSize}, DType::kF32, device);
  if (count == 0) { return out; }
  const TapMatrix down = taps_for(height, resize, device), across = taps_for(width, resize, device);
  const int64_t each = resample_scratch(kSize, height, kSize, width);
  const Tensor scratch = Tensor::empty({count * kChannels, each}, DType::kF32, device);
  resample<float>(device, count * kChannels, down.rows(), across.rows(), planes.data<float>(), scratch.data<float>(),
                  out.data<float>());
  return out;
}

/// From 0..255 to what the network takes.
Tensor shifted(const Tensor& values, InceptionResize resize) {
  if (resize == InceptionResize::kPytorch) { return add_scalar(scale(values, 2.0 / 255), -1); }
  return scale(add_scalar(values, -128), 1.0 / 128);
}

}  // namespace

const char* name_of(InceptionResize resize) {
  constexpr const char* kNames[] = {"pytorch", "tf1", "clean"};
  return kNames[static_cast<size_t>(resize)];
}

InceptionResize inception_resize_from_name(const std::string& name) {
  std::vector<std::string> known;
  for (const InceptionResize resize : kResizes) {
    if (name == name_of(resize)) { return resize; }
    known.emplace_back(name_of(resize));
  }
  throw ConfigError(cat("resize \"", name, "\" is not one of ", join_names(known)));
}

Tensor inception_resized(const Tensor& images, InceptionResize resize) { return resampled(planes_of(images), resize); }

Tensor inception_input(const Tensor& images, InceptionResize resize) {
  const Tensor planes = planes_of(images);
  // Bilinear weights add up to 1, so that the shift may come first, while the images are small; bicubic values leave
  // 0..255 and are clipped before it.
  if (resize != InceptionResize::kClean) { return resampled(shifted(planes, resize), resize); }
  return shifted(apply(Clamp{.low = 0, .high = 255}, resampled(planes, resize)), resize);
}

}  // namespace terrace
