#include "metrics/inception/network.h"

#include <algorithm>
#include <cmath>

namespace terrace {
namespace {

InferenceConv make_conv(const InceptionStep& step, const TensorFile& weights) {
  const InceptionWeights folded = read_inception_weights(weights, step);
  return InferenceConv(conv_geometry(step, 1), folded.weight, folded.bias);
}

InferencePool make_pool(const InceptionStep& step) {
  return InferencePool(pool_geometry(step, step.from.channels), pooling_of(step));
}

/// Mean over the positions of x (C/b, H*W, b) -> (C).
void mean_of_positions(const float* x, const InceptionPlace& place, float* mean) {
  const int64_t block = inference_block(), positions = place.height * place.width;
  for (int64_t c = 0; c < place.channels; c += block, x += positions * block) {
    double sum[16] = {};
    for (int64_t i = 0; i < positions * block; i += block) {
      for (int64_t j = 0; j < block; ++j) { sum[j] += static_cast<double>(x[i + j]); }
    }
    for (int64_t j = 0; j < block; ++j) { mean[c + j] = static_cast<float>(sum[j] / static_cast<double>(positions)); }
  }
}

/// The first channels of x (C/b, H*W, b) as (H*W, channels).
void first_channels(const float* x, const InceptionPlace& place, float* out) {
  for (int64_t i = 0; i < place.height * place.width; ++i) {
    std::copy_n(x + i * inference_block(), kInceptionSpatialChannels, out + i * kInceptionSpatialChannels);
  }
}

}  // namespace

InceptionWeights read_inception_weights(const TensorFile& file, const InceptionStep& step) {
  const int64_t outputs = step.to.channels;
  const Shape shape{outputs, step.from.channels, step.window.height, step.window.width};
  const int64_t fan_in = shape.numel() / outputs;
  const auto read = [&](const std::string& part, const Shape& expected) {
    const std::string key = cat(step.name, ".", part);
    if (file.entry(key).shape != expected) {
      throw ShapeError(cat(file.path(), ": ", key, " is ", file.entry(key).shape, ", Inception-v3's is ", expected));
    }
    return file.read(key, DType::kF64);
  };
  const Tensor weight = read("conv.weight", shape), gamma = read("bn.weight", {outputs}),
               beta = read("bn.bias", {outputs}), mean = read("bn.running_mean", {outputs}),
               variance = read("bn.running_var", {outputs});
  InceptionWeights folded{Tensor::empty(shape), Tensor::empty({outputs})};
  const double* from = weight.data<double>();
  float* to = folded.weight.data<float>();
  for (int64_t o = 0; o < outputs; ++o) {
    const double s = gamma.data<double>()[o] / std::sqrt(variance.data<double>()[o] + kInceptionBatchNormEps);
    for (int64_t i = 0; i < fan_in; ++i) { *to++ = static_cast<float>(*from++ * s); }
    folded.bias.data<float>()[o] = static_cast<float>(beta.data<double>()[o] - mean.data<double>()[o] * s);
  }
  const auto finite = [](const Tensor& t) {
    return std::all_of(t.data<float>(), t.data<float>() + t.numel(), [](float v) { return std::isfinite(v); });
  };
  if (!finite(folded.weight) || !finite(folded.bias)) {
    throw IoError(cat(file.path(), ": the weights of ", step.name, " are not finite"));
  }
  return folded;
}

Conv2dGeometry conv_geometry(const InceptionStep& step, int64_t images) {
  const InceptionWindow& w = step.window;
  return {.batch = images,
          .in_channels = step.from.channels,
          .height = step.from.height,
          .width = step.from.width,
          .out_channels = step.to.channels,
          .kernel_height = w.height,
          .kernel_width = w.width,
          .stride = w.stride,
          .top = w.pad_height,
          .bottom = w.pad_height,
          .left = w.pad_width,
          .right = w.pad_width};
}

Pool2dGeometry pool_geometry(const InceptionStep& step, int64_t planes) {
  return {.planes = planes,
          .height = step.from.height,
          .width = step.from.width,
          .kernel = step.window.height,
          .stride = step.window.stride,
          .pad = step.window.pad_height};
}

InferencePooling pooling_of(const InceptionStep& step) {
  return step.layer == InceptionLayer::kMaxPool ? InferencePooling::kMax : InferencePooling::kMeanWithoutPad;
}

size_t count_inception_steps(const std::vector<InceptionRead>& reads) {
  size_t count = 0;
  for (const InceptionRead& read : reads) { count = std::max(count, read.reach.steps); }
  return count;
}

InceptionWorkspace::InceptionWorkspace(const std::vector<int64_t>& area_sizes, int64_t scratch_bytes)
    : scratch_(Tensor::empty({scratch_bytes}, DType::kU8)) {
  for (const int64_t size : area_sizes) { areas_.push_back(Tensor::empty({size})); }
}

InceptionNetwork::InceptionNetwork(const TensorFile& weights, std::vector<InceptionRead> reads)
    : reads_(std::move(reads)), area_sizes_(kInceptionAreas, 1) {
  const InceptionPlan& plan = inception_plan();
  for (size_t i = 0; i < count_inception_steps(reads_); ++i) {
    const InceptionStep& step = plan.steps[i];
    if (step.layer == InceptionLayer::kConv) {
      InferenceConv conv = make_conv(step, weights);
      scratch_bytes_ = std::max(scratch_bytes_, conv.scratch_bytes());
      steps_.push_back({step.from, step.to, std::move(conv)});
    } else {
      steps_.push_back({step.from, step.to, make_pool(step)});
    }
    int64_t& size = area_sizes_[static_cast<size_t>(step.to.area)];
    size = std::max(size, step.to.offset() + step.to.numel());
  }
}

InceptionWorkspace InceptionNetwork::workspace() const { return {area_sizes_, scratch_bytes_}; }

void InceptionNetwork::run(const float* image, std::span<float* const> outputs, InceptionWorkspace& workspace) const {
  const auto at = [&](const InceptionPlace& place) { return workspace.area(place.area) + place.offset(); };
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const float* x = step.from.area == InceptionArea::kInput ? image : at(step.from);
    if (const auto* conv = std::get_if<InferenceConv>(&step.layer)) {
      (*conv)(x, at(step.to), workspace.scratch());
    } else {
      std::get<InferencePool>(step.layer)(x, at(step.to));
    }
    for (size_t r = 0; r < reads_.size(); ++r) {
      const InceptionReach& reach = reads_[r].reach;
      if (reach.steps != i + 1) { continue; }
      if (reads_[r].what == InceptionRead::What::kMeans) {
        mean_of_positions(at(reach.place), reach.place, outputs[r]);
      } else {
        first_channels(at(reach.place), reach.place, outputs[r]);
      }
    }
  }
}

}  // namespace terrace
