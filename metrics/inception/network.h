// The layers of Inception-v3 with their weights, as far as they are needed, and their run over one image on the CPU.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "data/formats/open_tensor_file.h"
#include "metrics/inception/plan.h"
#include "tensor/inference_layer.h"

namespace terrace {

/// Working memory of one thread.
class InceptionWorkspace {
 public:
  InceptionWorkspace(const std::vector<int64_t>& area_sizes, int64_t scratch_bytes);
  float* area(InceptionArea area) { return areas_[static_cast<size_t>(area)].data<float>(); }
  void* scratch() { return scratch_.raw_data(); }

 private:
  std::vector<Tensor> areas_;
  Tensor scratch_;
};

/// Something that is read on the way.
struct InceptionRead {
  enum class What : uint8_t {
    kMeans,          // of each channel over the positions: (channels)
    kFirstChannels,  // 7 of them, (row, column, channel): sFID's features
  };
  InceptionReach reach;
  What what = What::kMeans;
};

inline constexpr int64_t kInceptionSpatialChannels = 7;

/// A convolution's weights (O, C, kh, kw) and bias (O), f32, its batch norm folded in:
/// weight * s and beta - mean * s, with s = gamma / sqrt(variance + eps) for each output channel, found in f64.
struct InceptionWeights {
  Tensor weight, bias;
};
/// Throws ShapeError for another network's weights, IoError where one is not finite: its features might look sound.
InceptionWeights read_inception_weights(const TensorFile& file, const InceptionStep& step);

/// The extents of a convolution, or a pool, of the plan.
Conv2dGeometry conv_geometry(const InceptionStep& step, int64_t images);
Pool2dGeometry pool_geometry(const InceptionStep& step, int64_t planes);
InferencePooling pooling_of(const InceptionStep& step);

/// The steps that `reads` need.
size_t count_inception_steps(const std::vector<InceptionRead>& reads);

class InceptionNetwork {
 public:
  /// The steps that the reads need; their layers must be in the file. Throws ShapeError for another network's weights.
  InceptionNetwork(const TensorFile& weights, std::vector<InceptionRead> reads);

  InceptionWorkspace workspace() const;
  /// image (3, 299, 299); outputs[i] receives the values of reads[i].
  void run(const float* image, std::span<float* const> outputs, InceptionWorkspace& workspace) const;

 private:
  struct Step {
    InceptionPlace from, to;
    std::variant<InferenceConv, InferencePool> layer;
  };

  std::vector<Step> steps_;
  std::vector<InceptionRead> reads_;
  std::vector<int64_t> area_sizes_;  // floats
  int64_t scratch_bytes_ = 1;
};

}  // namespace terrace
