// The multi-scale VQVAE: images to token pyramids and back. Structure and parameter names are those of VAR's official
// tokenizer, so that its weights load by name.
//
//   Vqvae vqvae(vqvae_preset32());
//   Tensor indices = vqvae.images_to_indices(images);      // (B,3,32,32) in [-1,1] -> (B, L) i64
//   Tensor again   = vqvae.indices_to_images(indices);     // in [-1,1]
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/module.h"
#include "var/tokenizer/quantizer.h"

namespace terrace {

/// The names are those of the official model, the defaults those of its 256 px tokenizer.
struct VqvaeConfig {
  int64_t in_channels = 3;
  int64_t ch = 160;                                // width of the finest level
  std::vector<int64_t> ch_mult = {1, 1, 2, 2, 4};  // per level; each further level halves the map
  int64_t num_res_blocks = 2;                      // per level in the encoder; one more in the decoder
  int64_t z_channels = 32;
  int64_t vocab_size = 4096;
  std::vector<int64_t> patch_nums = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  int64_t share_quant_resi = 4;
  double quant_resi = 0.5;
  double beta = 0.25;
  bool using_znorm = false;
  bool using_sa = true;      // attention after every block of the coarsest level
  bool using_mid_sa = true;  // attention in the middle
  int64_t quant_conv_ks = 3;
  double dropout = 0;
  int64_t norm_groups = 32;
  double norm_eps = 1e-6;

  int64_t downsample() const { return int64_t{1} << (ch_mult.size() - 1); }
  int64_t image_size() const { return patch_nums.back() * downsample(); }  // of the square image of this pyramid
  QuantizerConfig quantizer() const;
  void validate() const;  // throws ConfigError naming the field
  bool operator==(const VqvaeConfig&) const = default;
};

/// JSON objects; reading refuses unknown keys by name and leaves absent ones at their defaults.
void to_json(nlohmann::json& j, const VqvaeConfig& config);
void from_json(const nlohmann::json& j, VqvaeConfig& config);
std::string to_text(const VqvaeConfig& config);
VqvaeConfig vqvae_config_from_text(const std::string& text);  // throws ConfigError

/// 32 x 32 images, 8 x 8 latents (f4), patch_nums 1,2,3,4,5,6,8: trained in a minute or two on two cores.
VqvaeConfig vqvae_preset32();

class VqvaeEncoder;
class VqvaeDecoder;

class Vqvae : public Module {
 public:
  /// Weights are drawn from `g`, in construction order, as PyTorch's layers start. Throws ConfigError.
  explicit Vqvae(const VqvaeConfig& config, Generator& g = default_generator());
  ~Vqvae() override;

  struct Output {
    Variable reconstruction;  // (B,3,H,W), not clamped
    Quantizer::Output quantized;
  };
  Output forward(const Variable& images) const;  // images NCHW in [-1, 1]

  Variable encode_raw(const Variable& images) const;  // the encoder alone
  Variable encode(const Variable& images) const;      // quant_conv(encoder): f (B, z_channels, H/d, W/d)
  Variable decode(const Variable& f_hat) const;       // decoder(post_quant_conv(f_hat)), not clamped

  /// Where the weights are; forward, encode and decode take what is there too. to() of Module moves them.
  Device device() const;

  // --- Without a graph, of tensors on any device, with results on the CPU; images are clamped to [-1, 1] ---
  Tensor images_to_indices(const Tensor& images) const;  // (B, L) i64
  Tensor f_hat_to_images(const Tensor& f_hat) const;
  Tensor indices_to_images(const Tensor& indices) const;
  Tensor reconstruct(const Tensor& images) const;

  Quantizer& quantizer() { return quantize_; }
  const Quantizer& quantizer() const { return quantize_; }
  const Pyramid& pyramid() const { return quantize_.pyramid(); }
  const VqvaeConfig& config() const { return config_; }

 private:
  VqvaeConfig config_;
  std::unique_ptr<VqvaeEncoder> encoder_;
  std::unique_ptr<VqvaeDecoder> decoder_;
  Quantizer quantize_;
  Conv2d quant_conv_, post_quant_conv_;
};

/// Peak signal to noise ratio in dB of images in [-1, 1] from their mean squared error: 10 log10(4 / mse).
double psnr_from_mse(double mse);

}  // namespace terrace
