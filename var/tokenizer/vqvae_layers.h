// The convolutional halves of the tokenizer: residual blocks, attention, resampling, encoder and decoder. Structure and
// names are those of VAR's official tokenizer (the autoencoder of latent diffusion models).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/module.h"
#include "var/tokenizer/vqvae.h"

namespace terrace {

/// shortcut(x) + conv2(dropout(silu(norm2(conv1(silu(norm1(x))))))), the shortcut a 1x1 convolution where the width
/// changes and x itself elsewhere. (B, in, H, W) -> (B, out, H, W).
class ResnetBlock : public Module {
 public:
  ResnetBlock(int64_t in, int64_t out, const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& x) const;

 private:
  GroupNorm norm1_;
  Conv2d conv1_;
  GroupNorm norm2_;
  Dropout dropout_;
  Conv2d conv2_;
  std::unique_ptr<Conv2d> nin_shortcut_;
};

/// x + proj_out(softmax(q^T k / sqrt(C)) v) over the positions of the map, one head. (B, C, H, W) -> the same.
class AttentionBlock : public Module {
 public:
  AttentionBlock(int64_t channels, const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& x) const;

 private:
  double scale_;
  GroupNorm norm_;
  Conv2d qkv_, proj_out_;
};

enum class LevelAttention : bool { kNo = false, kYes = true };
enum class Resample : uint8_t { kNone, kHalve, kDouble };

/// The blocks of one resolution, each followed by attention where asked, and the change of resolution behind them:
/// kHalve pads right and below and convolves with stride 2; kDouble repeats pixels and convolves.
class VqvaeLevel : public Module {
 public:
  VqvaeLevel(int64_t in, int64_t out, int64_t blocks, LevelAttention attention, Resample resample,
             const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& x) const;

 private:
  Resample resample_;
  std::vector<std::unique_ptr<ResnetBlock>> block_;
  std::vector<std::unique_ptr<AttentionBlock>> attn_;
  std::unique_ptr<Conv2d> conv_;
};

/// block_1, attention where configured, block_2, all of one width.
class VqvaeMiddle : public Module {
 public:
  VqvaeMiddle(int64_t channels, const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& x) const;

 private:
  ResnetBlock block_1_;
  std::unique_ptr<AttentionBlock> attn_1_;
  ResnetBlock block_2_;
};

/// (B, in_channels, H, W) -> (B, z_channels, H/d, W/d).
class VqvaeEncoder : public Module {
 public:
  VqvaeEncoder(const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& x) const;

 private:
  Conv2d conv_in_;
  std::vector<std::unique_ptr<VqvaeLevel>> down_;
  VqvaeMiddle mid_;
  GroupNorm norm_out_;
  Conv2d conv_out_;
};

/// (B, z_channels, h, w) -> (B, in_channels, h d, w d).
class VqvaeDecoder : public Module {
 public:
  VqvaeDecoder(const VqvaeConfig& config, Generator& g);
  Variable operator()(const Variable& z) const;

 private:
  Conv2d conv_in_;
  VqvaeMiddle mid_;
  std::vector<std::unique_ptr<VqvaeLevel>> up_;  // by level, finest first; run from the last to the first
  GroupNorm norm_out_;
  Conv2d conv_out_;
};

}  // namespace terrace
