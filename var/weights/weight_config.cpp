// Configurations read off the shapes of weights.
#include <algorithm>
#include <cmath>

#include "tensor/base/error.h"
#include "tensor/base/notes.h"
#include "var/positions/encodings.h"
#include "var/positions/tables.h"
#include "var/weights/weights.h"

namespace terrace {
namespace {

const std::vector<std::vector<int64_t>>& official_pyramids() {
  static const std::vector<std::vector<int64_t>> pyramids = {{1, 2, 3, 4, 5, 6, 8, 10, 13, 16},
                                                             {1, 2, 3, 4, 6, 9, 13, 18, 24, 32}};
  return pyramids;
}

/// Extent `dim` of a tensor that must be there and have `ndim` dimensions.
int64_t extent(const TensorFile& weights, const std::string& name, int64_t dim, int64_t ndim) {
  if (!weights.has(name)) {
    throw ConfigError(cat(weights.path(), ": the configuration cannot be told without ", name));
  }
  const Shape& shape = weights.entry(name).shape;
  if (shape.size() != ndim) {
    throw ConfigError(cat(weights.path(), ": ", name, " must have ", ndim, " dimensions, it is ", shape));
  }
  return shape[dim];
}

/// How many of PREFIX0SUFFIX, PREFIX1SUFFIX, ... there are.
int64_t count_of(const TensorFile& weights, const std::string& prefix, const std::string& suffix) {
  int64_t count = 0;
  while (weights.has(cat(prefix, count, suffix))) { ++count; }
  return count;
}

/// The configuration that Terrace wrote beside the tensors, "" where there is none.
std::string stored_config(const TensorFile& weights, WeightKind kind) {
  const auto& metadata = weights.metadata();
  const auto stored_kind = metadata.find("terrace_kind"), config = metadata.find("config");
  const bool stored = stored_kind != metadata.end() && stored_kind->second == name_of(kind) && config != metadata.end();
  return stored ? config->second : "";
}

std::vector<int64_t> patch_nums_of_length(const TensorFile& weights, int64_t length) {
  for (const auto& pyramid : official_pyramids()) {
    if (Pyramid(pyramid).length() == length) { return pyramid; }
  }
  throw ConfigError(cat(weights.path(), ": patch_nums cannot be told: there is no lvl_1L, and no official model has ",
                        length, " tokens"));
}

/// Throws ConfigError where what was read off the shapes is no configuration.
template <class Config>
void validate_read(const Config& config, const TensorFile& weights) {
  try {
    config.validate();
  } catch (const ConfigError& error) {
    throw ConfigError(cat(weights.path(),
                          ": its shapes are not those of a released model, and there is no configuration ",
                          "beside them, which convert_weights keeps in every format: ", error.what()));
  }
}

/// The number of heads of weights that do not determine it.
int64_t heads_of_width(int64_t width, const std::string& path, const WeightOptions& options) {
  constexpr int64_t kReleasedHeadWidth = 64;
  if (options.num_heads > 0) { return options.num_heads; }
  if (width % kReleasedHeadWidth != 0) {
    throw ConfigError(cat(path, ": the number of heads cannot be told from weights without scale_mul_1H11 (no ",
                          "attn_l2_norm), and their width ", width, " is no multiple of ", kReleasedHeadWidth,
                          ", the width of a head in all released models; give it with --heads"));
  }
  const int64_t heads = width / kReleasedHeadWidth;
  note(cat(path, ": without attn_l2_norm the weights do not tell the number of heads; ", heads, " are taken, each ",
           kReleasedHeadWidth, " wide as in all released models; --heads overrides it"));
  return heads;
}

}  // namespace

std::vector<int64_t> patch_nums_of_levels(const Tensor& levels, const std::string& where) {
  const std::vector<int64_t> level = levels.to_vector<int64_t>();
  std::vector<int64_t> patch_nums;
  for (size_t begin = 0; begin < level.size();) {
    size_t end = begin;
    while (end < level.size() && level[end] == level[begin]) { ++end; }
    const auto tokens = static_cast<int64_t>(end - begin);
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(tokens))));
    if (level[begin] != static_cast<int64_t>(patch_nums.size()) || side * side != tokens) {
      throw ConfigError(
          cat(where, ": lvl_1L is not the levels of square scales: level ", level[begin], " has ", tokens, " tokens"));
    }
    patch_nums.push_back(side);
    begin = end;
  }
  return patch_nums;
}

VarConfig var_config_from_shapes(const TensorFile& weights, const WeightOptions& options) {
  const std::string block = "blocks.0.";
  VarConfig c;
  c.depth = count_of(weights, "blocks.", ".attn.mat_qkv.weight");
  c.embed_dim = extent(weights, "pos_start", 2, 3);
  c.vocab_size = extent(weights, "head.weight", 0, 2);
  c.Cvae = extent(weights, "word_embed.weight", 1, 2);
  c.num_classes = extent(weights, "class_emb.weight", 0, 2) - 1;
  c.mlp_ratio = static_cast<double>(extent(weights, block + "ffn.fc1.weight", 0, 2)) /
                static_cast<double>(std::max<int64_t>(c.embed_dim, 1));
  c.attn_l2_norm = weights.has(block + "attn.scale_mul_1H11");
  c.shared_aln = weights.has(block + "ada_gss");
  c.positions.level_embedding = weights.has("lvl_embed.weight");
  if (weights.has(kFixedTable)) {
    throw ConfigError(cat(weights.path(), ": ", kFixedTable,
                          " is a table of an encoding that the weights do not name, and there is no configuration ",
                          "beside them, which convert_weights keeps in every format"));
  }
  c.positions.kind = weights.has(kLearnedTable) ? "learned" : "none";
  c.num_heads = c.attn_l2_norm ? extent(weights, block + "attn.scale_mul_1H11", 1, 4)
                               : heads_of_width(c.embed_dim, weights.path(), options);
  c.patch_nums = weights.has("lvl_1L") ? patch_nums_of_levels(weights.read("lvl_1L"), weights.path())
                                       : patch_nums_of_length(weights, extent(weights, kLearnedTable, 1, 3));
  validate_read(c, weights);
  return c;
}

VqvaeConfig vqvae_config_from_shapes(const TensorFile& weights, const WeightOptions& options) {
  VqvaeConfig c;
  c.ch = extent(weights, "encoder.conv_in.weight", 0, 4);
  c.in_channels = extent(weights, "encoder.conv_in.weight", 1, 4);
  c.z_channels = extent(weights, "encoder.conv_out.weight", 0, 4);
  c.vocab_size = extent(weights, "quantize.embedding.weight", 0, 2);
  c.quant_conv_ks = extent(weights, "quant_conv.weight", 2, 4);
  const int64_t levels = count_of(weights, "encoder.down.", ".block.0.conv1.weight");
  c.num_res_blocks = count_of(weights, "encoder.down.0.block.", ".conv1.weight");
  c.ch_mult.clear();
  for (int64_t i = 0; i < levels; ++i) {
    const int64_t width = extent(weights, cat("encoder.down.", i, ".block.0.conv1.weight"), 0, 4);
    c.ch_mult.push_back(width / std::max<int64_t>(c.ch, 1));
  }
  c.using_sa = weights.has(cat("encoder.down.", levels - 1, ".attn.0.qkv.weight"));
  c.using_mid_sa = weights.has("encoder.mid.attn_1.qkv.weight");
  const std::string phi = "quantize.quant_resi.";
  if (weights.has(phi + "qresi.weight")) {
    c.share_quant_resi = 1;
  } else if (const int64_t shared = count_of(weights, phi + "qresi_ls.", ".weight"); shared > 0) {
    c.share_quant_resi = shared;
  } else if (weights.has(phi + "0.weight")) {
    c.share_quant_resi = 0;
  } else {
    c.quant_resi = 0;
  }
  const bool has_hits = weights.has("quantize.ema_vocab_hit_SV");
  c.patch_nums = options.patch_nums.empty() ? official_pyramids()[0] : options.patch_nums;
  const auto scales = static_cast<int64_t>(c.patch_nums.size());
  if (has_hits && extent(weights, "quantize.ema_vocab_hit_SV", 0, 2) != scales) {
    throw ConfigError(cat(weights.path(), ": the tokenizer has ", extent(weights, "quantize.ema_vocab_hit_SV", 0, 2),
                          " scales (ema_vocab_hit_SV), patch_nums ", Shape(c.patch_nums),
                          options.patch_nums.empty() ? ", the official ones," : "", " are ", scales,
                          "; give its own with --patch-nums"));
  }
  validate_read(c, weights);
  return c;
}

VarConfig var_config_from_weights(const TensorFile& weights, const WeightOptions& options) {
  const std::string text = stored_config(weights, WeightKind::kVar);
  if (text.empty()) { return var_config_from_shapes(weights, options); }
  try {
    VarConfig config = var_config_from_text(text);
    find_encoding(config.positions.kind);
    return config;
  } catch (const ConfigError& error) { throw ConfigError(cat(weights.path(), ": ", error.what())); }
}

VqvaeConfig vqvae_config_from_weights(const TensorFile& weights, const WeightOptions& options) {
  const std::string text = stored_config(weights, WeightKind::kVqvae);
  if (text.empty()) { return vqvae_config_from_shapes(weights, options); }
  try {
    return vqvae_config_from_text(text);
  } catch (const ConfigError& error) { throw ConfigError(cat(weights.path(), ": ", error.what())); }
}

}  // namespace terrace
