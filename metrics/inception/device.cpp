#include "metrics/inception/device.h"

#include <array>

#include "tensor/kernels/inference.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

constexpr int64_t kInputChannels = 8;  // 3 and zeros: tensor cores take 8 at once

/// Channels of the image that step `i` writes to: what the next step that reads it reads.
int64_t width_written(const InceptionPlan& plan, size_t i) {
  const InceptionArea area = plan.steps[i].to.area;
  for (size_t next = i + 1; next < plan.steps.size(); ++next) {
    if (plan.steps[next].from.area == area) { return plan.steps[next].from.channels; }
  }
  return plan.level_2048.place.channels;
}

/// (O, C, kh, kw) -> (O, kh, kw, C'), channels behind the last being 0.
Tensor weights_channels_last(const Tensor& weight, int64_t channels) {
  Tensor result = Tensor::zeros({weight.dim(0), weight.dim(2), weight.dim(3), channels});
  result.slice(3, 0, weight.dim(1)).copy_(weight.permute({0, 2, 3, 1}));
  return result;
}

/// Calls f(TypeTag<T>{}) for the types that there are kernels of.
template <class F>
void visit_type(DType dtype, const F& f) {
  if (dtype == DType::kBF16) {
    f(TypeTag<BFloat16>{});
  } else {
    f(TypeTag<float>{});
  }
}

/// What is read of x (N, H, W, C), as rows of f32.
Tensor read_of(const Tensor& x, const InceptionRead& read) {
  if (read.what == InceptionRead::What::kMeans) { return mean(x.to(DType::kF32), {1, 2}); }
  const int64_t first = read.reach.place.first;
  return x.slice(3, first, first + kInceptionSpatialChannels).to(DType::kF32).reshape({x.dim(0), -1});
}

}  // namespace

InceptionDeviceNetwork::InceptionDeviceNetwork(const TensorFile& weights, std::vector<InceptionRead> reads,
                                               Device device, DType dtype)
    : reads_(std::move(reads)), device_(device), dtype_(dtype) {
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    throw DTypeError(cat("inception: computes in f32 or bf16 on ", device, ", not in ", dtype));
  }
  const InceptionPlan& plan = inception_plan();
  for (size_t i = 0; i < count_inception_steps(reads_); ++i) {
    const InceptionStep& step = plan.steps[i];
    Layer layer{.step = step, .width = width_written(plan, i), .weight = {}, .bias = {}};
    if (step.layer == InceptionLayer::kConv) {
      const InceptionWeights folded = read_inception_weights(weights, step);
      const int64_t channels = step.from.area == InceptionArea::kInput ? kInputChannels : step.from.channels;
      layer.weight = weights_channels_last(folded.weight, channels).to(dtype).to(device);
      layer.bias = folded.bias.to(dtype).to(device);
    }
    layers_.push_back(std::move(layer));
  }
}

Tensor InceptionDeviceNetwork::channels_last_input(const Tensor& images) const {
  const Tensor source = images.contiguous();
  const int64_t count = images.dim(0), channels = images.dim(1), pixels = kInceptionSize * kInceptionSize;
  const Tensor x = Tensor::empty({count, kInceptionSize, kInceptionSize, kInputChannels}, dtype_, device_);
  visit_type(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    channels_last<T>(device_, count, channels, pixels, kInputChannels, source.data<float>(), x.data<T>());
  });
  return x;
}

/// `to` is the whole image, of which the step's channels are written.
void InceptionDeviceNetwork::run(const Layer& layer, const Tensor& from, const Tensor& to) const {
  const InceptionStep& step = layer.step;
  const int64_t images = from.dim(0), channels = from.dim(3), pixel_stride = to.dim(3);
  visit_type(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = from.data<T>();
    T* y = to.data<T>() + step.to.first;
    if (step.layer == InceptionLayer::kConv) {
      Conv2dGeometry geometry = conv_geometry(step, images);
      geometry.in_channels = channels;  // with the zeros of the input
      inference_conv<T>(device_, geometry, pixel_stride, x, layer.weight.data<T>(), layer.bias.data<T>(), y);
    } else {
      inference_pool<T>(device_, pool_geometry(step, images), channels, pooling_of(step), pixel_stride, x, y);
    }
  });
}

std::vector<Tensor> InceptionDeviceNetwork::operator()(const Tensor& images) const {
  const int64_t count = images.dim(0);
  std::vector<Tensor> results(reads_.size());
  std::array<Tensor, kInceptionAreas> areas;
  const auto area = [&](const InceptionPlace& place) -> Tensor& { return areas[static_cast<size_t>(place.area)]; };
  areas[static_cast<size_t>(InceptionArea::kInput)] = channels_last_input(images);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const InceptionStep& step = layers_[i].step;
    const Tensor from = area(step.from);
    Tensor& to = area(step.to);
    if (step.to.first == 0) {
      to = Tensor::empty({count, step.to.height, step.to.width, layers_[i].width}, dtype_, device_);
    }
    run(layers_[i], from, to);
    for (size_t r = 0; r < reads_.size(); ++r) {
      const InceptionReach& reach = reads_[r].reach;
      if (reach.steps == i + 1) { results[r] = read_of(area(reach.place), reads_[r]); }
    }
  }
  return results;
}

}  // namespace terrace
