// The tokenizer's configuration and that of its quantizer.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace terrace {

struct QuantizerConfig {
  int64_t vocab_size = 4096;
  int64_t channels = 32;  // C of the latent map
  std::vector<int64_t> patch_nums = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
  int64_t share_quant_resi = 4;
  double quant_resi = 0.5;   // its absolute value counts; up to 1e-6 there are no phis
  double beta = 0.25;        // weight of the commitment term
  bool using_znorm = false;  // nearest code by cosine instead of L2
};

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

}  // namespace terrace
