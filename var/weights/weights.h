// Weights from anywhere: the official models' files, checkpoints of their training, and Terrace's own, loaded by name.
//
//   TensorFile file = find_weights(open_tensor_file("var_d16.pth"), WeightKind::kVar);
//   VarConfig config = var_config_from_weights(file);
//   VarTransformer model(config, scratch);
//   load_var_weights(model, file);
//
// A model's configuration is read off the shapes of its weights. What these do not determine is given by WeightOptions,
// or is stored beside the tensors where Terrace wrote the file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/formats/open_tensor_file.h"
#include "nn/module.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/transformer.h"

namespace terrace {

enum class WeightKind : uint8_t { kVar, kVqvae };
const char* name_of(WeightKind kind);  // "var", "vqvae": as the checkpoints' terrace_kind

/// What the shapes of the weights do not determine.
struct WeightOptions {
  std::string prefix = {};  // the part of the file, e.g. trainer/var_wo_ddp; "": found by its names
  int64_t num_heads = 0;    // of a VAR without attn_l2_norm; 0: width / 64, as in all released models
  /// Of a tokenizer, whose weights determine only how many there are; {}: the official ones.
  std::vector<int64_t> patch_nums = {};
};

/// The model of that kind inside a file: at the top, or in a container (trainer/var_wo_ddp, model, state_dict ...),
/// with or without "module." before the names. nullopt where there is none. Throws IoError where there are several and
/// none is a usual one, naming them.
std::optional<TensorFile> find_weights_if_any(const TensorFile& file, WeightKind kind, const std::string& prefix = "");
/// The same; IoError that says what the file holds where there is none.
TensorFile find_weights(const TensorFile& file, WeightKind kind, const std::string& prefix = "");

/// What stands before the names of weights, "" at the top of a file: of every model in it, averaged weights beside the
/// others included; nothing where there is no model. What a checkpoint holds beside these is for going on with the
/// training: optimizer, log.
std::vector<std::string> weight_prefixes(const TensorFile& file);

/// From shapes and presence of names: depth, embed_dim, num_heads, mlp_ratio, attn_l2_norm, shared_aln, patch_nums
/// (lvl_1L, or the official ones of the same length), vocab_size, Cvae, num_classes, level embedding. The rest keeps
/// its default. A number of heads that was taken from the width is a note on stderr. Throws ConfigError that names
/// what they do not determine.
VarConfig var_config_from_shapes(const TensorFile& weights, const WeightOptions& options = {});
/// in_channels, ch, ch_mult, num_res_blocks, z_channels, vocab_size, share_quant_resi, attention, quant_conv_ks. Of
/// the pyramid the weights determine the number of scales only.
VqvaeConfig vqvae_config_from_shapes(const TensorFile& weights, const WeightOptions& options = {});
/// The configuration that Terrace wrote beside the tensors where there is one, else that of the shapes.
VarConfig var_config_from_weights(const TensorFile& weights, const WeightOptions& options = {});
VqvaeConfig vqvae_config_from_weights(const TensorFile& weights, const WeightOptions& options = {});

/// The pyramid whose lvl_1L this is. Throws ConfigError, opening with `where`, where it is that of none.
std::vector<int64_t> patch_nums_of_levels(const Tensor& levels, const std::string& where);

/// Copies tensor by tensor, converting to the parameters' dtypes. Buffers that the configuration alone decides may be
/// missing; those that are there must agree with it. All names that do not fit are one ConfigError (check_state).
/// NaN and infinite weights are reported by a warning on stderr that names the tensors.
void load_var_weights(VarTransformer& model, const TensorFile& weights);
void load_vqvae_weights(Vqvae& model, const TensorFile& weights);

/// Throws ConfigError that says which of patch_nums, vocab_size and Cvae differ, and what each has.
void check_tokenizer_fits(const VarConfig& var, const VqvaeConfig& tokenizer);

/// The buffers that the official code's strict loading wants, from the configuration alone: attn_bias_for_masking
/// (1,1,L,L), lvl_1L (1,L), blocks.i.attn.zero_k_bias (C); quantize.ema_vocab_hit_SV (S,V), zero.
std::vector<std::pair<std::string, Tensor>> official_buffers(const VarConfig& config);
std::vector<std::pair<std::string, Tensor>> official_buffers(const VqvaeConfig& config);

}  // namespace terrace
