#include "var/step_memory.h"

namespace terrace {
namespace {

constexpr double kBytesOfWeight = 16;  // f32: itself, its gradient, two moments
constexpr double kF32 = 4;

}  // namespace

StepMemory step_memory(const VqvaeConfig& config) {
  constexpr double kMapsOfBlock = 3, kTaps = 9;
  const auto size = static_cast<double>(config.image_size());
  double weights = static_cast<double>(config.vocab_size) * static_cast<double>(config.z_channels), maps = 0;
  double side = size, before = static_cast<double>(config.ch);
  const auto blocks = static_cast<double>(2 * config.num_res_blocks + 1);  // of a level, in encoder and decoder
  for (const int64_t mult : config.ch_mult) {
    const double channels = static_cast<double>(config.ch) * static_cast<double>(mult);
    maps += blocks * kMapsOfBlock * channels * side * side;
    weights += kTaps * channels * (before + channels) + (blocks - 1) * 2 * kTaps * channels * channels;
    side /= 2;
    before = channels;
  }
  return {.fixed = kBytesOfWeight * weights, .per_image = kF32 * maps};
}

StepMemory step_memory(const VarConfig& config, int bytes, bool recompute) {
  const auto width = static_cast<double>(config.embed_dim), hidden = config.mlp_ratio * width;
  const auto depth = static_cast<double>(config.depth), length = static_cast<double>(config.length());
  const auto vocab = static_cast<double>(config.vocab_size), classes = static_cast<double>(config.num_classes);
  const double modulation = (config.shared_aln ? 0 : 6) * width * width;
  const double weights = depth * (4 * width * width + 2 * width * hidden + modulation) +
                         width * (vocab + classes + length + static_cast<double>(config.Cvae));
  const double of_block = recompute ? width : 8 * width + hidden;
  return {.fixed = kBytesOfWeight * weights, .per_image = length * (depth * of_block * bytes + 2 * kF32 * vocab)};
}

}  // namespace terrace
