// The structure of Inception-v3 (2015-12-05) without its weights: which layer reads and writes what, in order.
//
// The block names and the layers in them are pytorch-fid's (its average pools leave padding out, and Mixed_7c pools by
// maximum); TensorFlow's graph calls Mixed_5b ... Mixed_7c mixed ... mixed_10. Inputs are 299 x 299, so every extent is
// known here.
// Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2015).
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

inline constexpr int64_t kInceptionSize = 299;      // rows and columns of the input
inline constexpr int64_t kInceptionClasses = 1008;  // rows of fc.weight
inline constexpr double kInceptionBatchNormEps = 1e-3;

/// The working buffers. Blocks read one of kEven and kOdd and write the other; chains within a branch go through the
/// other two.
enum class InceptionArea : uint8_t { kInput, kEven, kOdd, kChainA, kChainB };
inline constexpr int64_t kInceptionAreas = 5;

/// Channels of an image that lies in a buffer.
struct InceptionPlace {
  InceptionArea area = InceptionArea::kInput;
  int64_t first = 0, channels = 0, height = 0, width = 0;
  int64_t offset() const { return first * height * width; }
  int64_t numel() const { return channels * height * width; }
};

struct InceptionWindow {
  int64_t height = 1, width = 1, stride = 1, pad_height = 0, pad_width = 0;
};

enum class InceptionLayer : uint8_t { kConv, kMeanPool, kMaxPool };

struct InceptionStep {
  InceptionLayer layer = InceptionLayer::kConv;
  std::string name;  // of the weights, without .conv.weight and .bn.*; empty for a pool
  InceptionPlace from, to;
  InceptionWindow window;
};

/// Something that is read: what the first `steps` steps leave at `place`.
struct InceptionReach {
  size_t steps = 0;
  InceptionPlace place;
};

struct InceptionPlan {
  std::vector<InceptionStep> steps;
  InceptionReach level_64, level_192, spatial, level_768, level_2048;
};

/// The whole network.
const InceptionPlan& inception_plan();

/// Where a level's features are read; level is one of 64, 192, 768, 2048. Throws ConfigError.
const InceptionReach& inception_level(int64_t level);

}  // namespace terrace
