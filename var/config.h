// What defines a VAR transformer, and its JSON form (the `config` attribute of checkpoints, the --config files).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace terrace {

struct PositionalConfig {
  std::string kind = "learned";  // a name of var/positions/encodings.h, checked where an encoding is made of it
  double learned_weight = 0.7;   // w where a table is w learned + (1 - w) fixed
  double scale = 1;              // multiplies a fixed table
  double rms = 0;                // > 0: a fixed table is scaled to this root mean square instead
  bool level_embedding = true;
  bool operator==(const PositionalConfig&) const = default;
};

/// The names are those of the official model. The default is the 32 px preset's pyramid on VAR-d8.
struct VarConfig {
  int64_t depth = 8;
  int64_t embed_dim = 512;
  int64_t num_heads = 8;
  double mlp_ratio = 4;
  double norm_eps = 1e-6;
  bool attn_l2_norm = true;
  bool shared_aln = false;
  std::vector<int64_t> patch_nums = {1, 2, 3, 4, 5, 6, 8};
  int64_t vocab_size = 4096;
  int64_t Cvae = 32;
  int64_t num_classes = 100;
  double cond_drop_rate = 0.1;     // share of the labels replaced by "no class" in training
  double drop_path_rate = -1;      // at the last block, rising linearly from 0; negative: 0.1 depth / 24
  double drop_rate = 0;            // on the projections of attention and MLP
  double adaln_init = 0.5;         // factor on the scale and shift rows of adaLN's initial weights
  double adaln_gamma_init = 1e-3;  // factor on its gamma rows
  PositionalConfig positions;

  double last_drop_path() const { return drop_path_rate < 0 ? 0.1 * static_cast<double>(depth) / 24 : drop_path_rate; }
  int64_t hidden_dim() const;  // of the MLP
  int64_t length() const;      // tokens of the whole pyramid
  void validate() const;       // throws ConfigError naming the field
  bool operator==(const VarConfig&) const = default;
};

/// The small model that learns 32 px images in about a minute on two cores; the tokenizer fixes the rest.
VarConfig var_preset32();

/// JSON objects; reading refuses unknown keys by name and leaves absent ones at their defaults.
void to_json(nlohmann::ordered_json& j, const PositionalConfig& config);
void from_json(const nlohmann::ordered_json& j, PositionalConfig& config);
void to_json(nlohmann::ordered_json& j, const VarConfig& config);
void from_json(const nlohmann::ordered_json& j, VarConfig& config);
std::string to_text(const VarConfig& config);
VarConfig var_config_from_text(const std::string& text);  // throws ConfigError

}  // namespace terrace
