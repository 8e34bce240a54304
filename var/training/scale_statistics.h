// Loss and accuracy over the tokens of each scale.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/communicator.h"
#include "tensor/tensor.h"
#include "var/pyramid.h"

namespace terrace {

/// What the forward pass of some images says of their tokens, on the model's device.
struct TokenLosses {
  Tensor loss;       // (B, L) f32
  Tensor predicted;  // (B, L) i64, the likeliest code; undefined where it was not asked for
};

/// Means over tokens, without label smoothing where they are of an evaluation.
struct HeldOut {
  int64_t images = 0;
  double loss = 0, accuracy = 0;
  std::vector<double> scale_loss, scale_accuracy;
};

/// Sums over tokens, per scale.
class ScaleStatistics {
 public:
  explicit ScaleStatistics(int64_t scales);
  /// Adds tokens one by one. `target` is (B, L) i64 on the CPU. Waits for the device.
  void add(const Pyramid& pyramid, const TokenLosses& tokens, const Tensor& target);
  void add(const ScaleStatistics& other);
  /// Adds the sums of all ranks.
  void add_ranks(Communicator& ranks, Device device);
  /// Over all tokens, and per scale.
  HeldOut means() const;

 private:
  std::vector<double> loss_, correct_, count_;
};

}  // namespace terrace
