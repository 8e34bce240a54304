#include "var/tokenizer/vqvae_layers.h"

#include <cmath>

#include "autograd/functions.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/interpolate.h"

namespace terrace {
namespace {

Conv2d conv3x3(int64_t in, int64_t out, Generator& g) { return Conv2d(in, out, 3, 1, 1, Bias::kYes, g); }
Conv2d conv1x1(int64_t in, int64_t out, Generator& g) { return Conv2d(in, out, 1, 1, 0, Bias::kYes, g); }

int64_t width(const VqvaeConfig& config, size_t level) { return config.ch * config.ch_mult[level]; }

}  // namespace

// --- Blocks ---

ResnetBlock::ResnetBlock(int64_t in, int64_t out, const VqvaeConfig& config, Generator& g)
    : norm1_(config.norm_groups, in, config.norm_eps),
      conv1_(conv3x3(in, out, g)),
      norm2_(config.norm_groups, out, config.norm_eps),
      dropout_(config.dropout),
      conv2_(conv3x3(out, out, g)) {
  register_module("norm1", norm1_);
  register_module("conv1", conv1_);
  register_module("norm2", norm2_);
  register_module("dropout", dropout_);
  register_module("conv2", conv2_);
  if (in != out) {
    nin_shortcut_ = std::make_unique<Conv2d>(in, out, 1, 1, 0, Bias::kYes, g);
    register_module("nin_shortcut", *nin_shortcut_);
  }
}

Variable ResnetBlock::operator()(const Variable& x) const {
  Variable h = norm1_.normalize_silu(x);  // one name: without a graph, each map is freed as soon as the next is there
  h = conv1_(h);
  h = norm2_.normalize_silu(h);
  h = conv2_(dropout_(h));
  return add(nin_shortcut_ ? (*nin_shortcut_)(x) : x, h);
}

AttentionBlock::AttentionBlock(int64_t channels, const VqvaeConfig& config, Generator& g)
    : scale_(1 / std::sqrt(static_cast<double>(channels))),
      norm_(config.norm_groups, channels, config.norm_eps),
      qkv_(conv1x1(channels, 3 * channels, g)),
      proj_out_(conv1x1(channels, channels, g)) {
  register_module("norm", norm_);
  register_module("qkv", qkv_);
  register_module("proj_out", proj_out_);
}

Variable AttentionBlock::operator()(const Variable& x) const {
  return add(x, proj_out_(feature_map_attention(qkv_(norm_(x)), scale_)));
}

// --- Levels ---

VqvaeLevel::VqvaeLevel(int64_t in, int64_t out, int64_t blocks, LevelAttention attention, Resample resample,
                       const VqvaeConfig& config, Generator& g)
    : resample_(resample) {
  for (int64_t i = 0; i < blocks; ++i) {
    block_.push_back(std::make_unique<ResnetBlock>(i == 0 ? in : out, out, config, g));
    register_module("block." + std::to_string(i), *block_.back());
  }
  for (int64_t i = 0; attention == LevelAttention::kYes && i < blocks; ++i) {
    attn_.push_back(std::make_unique<AttentionBlock>(out, config, g));
    register_module("attn." + std::to_string(i), *attn_.back());
  }
  if (resample == Resample::kHalve) {
    conv_ = std::make_unique<Conv2d>(out, out, 3, 2, Padding2d{0, 1, 0, 1}, Bias::kYes, g);
    register_module("downsample.conv", *conv_);
  } else if (resample == Resample::kDouble) {
    conv_ = std::make_unique<Conv2d>(out, out, 3, 1, 1, Bias::kYes, g);
    register_module("upsample.conv", *conv_);
  }
}

Variable VqvaeLevel::operator()(const Variable& x) const {
  Variable h = x;
  for (size_t i = 0; i < block_.size(); ++i) {
    h = (*block_[i])(h);
    if (!attn_.empty()) { h = (*attn_[i])(h); }
  }
  if (resample_ == Resample::kDouble) { h = interpolate(h, 2 * h.dim(2), 2 * h.dim(3), Interpolation::kNearest); }
  return conv_ ? (*conv_)(h) : h;
}

VqvaeMiddle::VqvaeMiddle(int64_t channels, const VqvaeConfig& config, Generator& g)
    : block_1_(channels, channels, config, g), block_2_(channels, channels, config, g) {
  register_module("block_1", block_1_);
  if (config.using_mid_sa) {
    attn_1_ = std::make_unique<AttentionBlock>(channels, config, g);
    register_module("attn_1", *attn_1_);
  }
  register_module("block_2", block_2_);
}

Variable VqvaeMiddle::operator()(const Variable& x) const {
  const Variable h = block_1_(x);
  return block_2_(attn_1_ ? (*attn_1_)(h) : h);
}

// --- Encoder and decoder ---

VqvaeEncoder::VqvaeEncoder(const VqvaeConfig& config, Generator& g)
    : conv_in_(conv3x3(config.in_channels, config.ch, g)),
      mid_(config.ch * config.ch_mult.back(), config, g),
      norm_out_(config.norm_groups, config.ch * config.ch_mult.back(), config.norm_eps),
      conv_out_(conv3x3(config.ch * config.ch_mult.back(), config.z_channels, g)) {
  register_module("conv_in", conv_in_);
  const size_t levels = config.ch_mult.size();
  int64_t in = config.ch;
  for (size_t level = 0; level < levels; ++level) {
    const bool coarsest = level + 1 == levels;
    down_.push_back(std::make_unique<VqvaeLevel>(in, width(config, level), config.num_res_blocks,
                                                 LevelAttention(coarsest && config.using_sa),
                                                 coarsest ? Resample::kNone : Resample::kHalve, config, g));
    register_module("down." + std::to_string(level), *down_.back());
    in = width(config, level);
  }
  register_module("mid", mid_);
  register_module("norm_out", norm_out_);
  register_module("conv_out", conv_out_);
}

Variable VqvaeEncoder::operator()(const Variable& x) const {
  Variable h = conv_in_(x);
  for (const auto& level : down_) { h = (*level)(h); }
  return conv_out_(norm_out_.normalize_silu(mid_(h)));
}

VqvaeDecoder::VqvaeDecoder(const VqvaeConfig& config, Generator& g)
    : conv_in_(conv3x3(config.z_channels, config.ch * config.ch_mult.back(), g)),
      mid_(config.ch * config.ch_mult.back(), config, g),
      norm_out_(config.norm_groups, config.ch * config.ch_mult.front(), config.norm_eps),
      conv_out_(conv3x3(config.ch * config.ch_mult.front(), config.in_channels, g)) {
  register_module("conv_in", conv_in_);
  register_module("mid", mid_);
  const size_t levels = config.ch_mult.size();
  for (size_t level = 0; level < levels; ++level) {
    const bool coarsest = level + 1 == levels;
    const int64_t in = width(config, coarsest ? level : level + 1);
    up_.push_back(std::make_unique<VqvaeLevel>(in, width(config, level), config.num_res_blocks + 1,
                                               LevelAttention(coarsest && config.using_sa),
                                               level == 0 ? Resample::kNone : Resample::kDouble, config, g));
    register_module("up." + std::to_string(level), *up_.back());
  }
  register_module("norm_out", norm_out_);
  register_module("conv_out", conv_out_);
}

Variable VqvaeDecoder::operator()(const Variable& z) const {
  Variable h = mid_(conv_in_(z));
  for (size_t level = up_.size(); level-- > 0;) { h = (*up_[level])(h); }
  return conv_out_(norm_out_.normalize_silu(h));
}

}  // namespace terrace
