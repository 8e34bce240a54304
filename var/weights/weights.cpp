#include "var/weights/weights.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

/// Names by which a model is recognised; all must be there.
const std::vector<std::string>& signature(WeightKind kind) {
  static const std::vector<std::string> var = {"pos_start", "word_embed.weight", "class_emb.weight"};
  static const std::vector<std::string> vqvae = {"quantize.embedding.weight", "encoder.conv_in.weight"};
  return kind == WeightKind::kVar ? var : vqvae;
}

/// Containers that a model is usually in, the best first, as the ending of what stands before its names.
constexpr const char* kUsual[] = {"", "trainer/var_wo_ddp/", "trainer/vae_local/", "state_dict/", "model/"};

/// What stands before the signature's names, for each place where all of them are.
std::vector<std::string> places_of(const TensorFile& file, WeightKind kind) {
  const std::string& first = signature(kind)[0];
  std::vector<std::string> places;
  for (const TensorEntry& entry : file.entries()) {
    if (!entry.name.ends_with(first)) { continue; }
    const std::string before = entry.name.substr(0, entry.name.size() - first.size());
    if (!before.empty() && before.back() != '/' && before.back() != '.') { continue; }
    const auto& names = signature(kind);
    if (std::all_of(names.begin(), names.end(), [&](const std::string& name) { return file.has(before + name); })) {
      places.push_back(before);
    }
  }
  return places;
}

/// The best of them, nullopt where none is usual.
std::optional<std::string> usual_place(const std::vector<std::string>& places) {
  for (const std::string usual : kUsual) {
    for (const std::string& place : places) {
      if (place == usual || place == usual + "module.") { return place; }
    }
  }
  return std::nullopt;
}

std::string list(const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 12;
  return join_names(names, ", ", kMaxNames);
}

int64_t count_non_finite(const Tensor& t) {
  if (!is_floating(t.dtype())) { return 0; }
  if (t.dtype() == DType::kF16) { return count_non_finite(t.to(DType::kF32)); }
  return visit_floating(t.dtype(), "weights", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = t.data<T>();
    const int64_t n = t.numel();
    int64_t count = 0;
#pragma omp simd reduction(+ : count)
    for (int64_t i = 0; i < n; ++i) {  // x - x is 0 unless x is NaN or infinite
      const auto value = static_cast<Accumulator<T>>(x[i]);
      count += value - value == 0 ? 0 : 1;
    }
    return count;
  });
}

void load_state_from(Module& module, const TensorFile& weights, const LoadRules& rules) {
  State target = module.state();
  std::map<std::string, TensorSpec> specs;
  for (const TensorEntry& entry : weights.entries()) { specs[entry.name] = {entry.shape, entry.dtype}; }
  check_state(weights.path().c_str(), target, specs, rules);
  std::vector<std::string> bad;
  for (const TensorEntry& entry : weights.entries()) {  // in the file's order: one pass over it
    const auto found = target.find(entry.name);
    if (found == target.end()) { continue; }
    weights.read_into(entry.name, found->second);
    if (count_non_finite(found->second) > 0) { bad.push_back(entry.name); }
  }
  if (!bad.empty()) {
    std::cerr << "warning: " << weights.path() << ": NaN or infinite values in " << list(bad) << "\n";
  }
}

Tensor level_of_tokens(const Pyramid& pyramid) {
  std::vector<int64_t> levels;
  for (int64_t t = 0; t < pyramid.length(); ++t) { levels.push_back(pyramid.scale_of(t)); }
  return Tensor::from(levels, {1, pyramid.length()});
}

/// 0 where a token of the row's scale may see the column's, -infinity elsewhere.
Tensor masking_bias(const Pyramid& pyramid) {
  const int64_t L = pyramid.length();
  Tensor bias = Tensor::zeros({1, 1, L, L});
  float* row = bias.data<float>();
  for (int64_t t = 0; t < L; ++t, row += L) {
    std::fill(row + pyramid.end(pyramid.scale_of(t)), row + L, -std::numeric_limits<float>::infinity());
  }
  return bias;
}

void check_levels(const TensorFile& weights, const VarConfig& config) {
  if (!weights.has("lvl_1L")) { return; }
  const std::vector<int64_t> found = patch_nums_of_levels(weights.read("lvl_1L"), weights.path());
  if (found != config.patch_nums) {
    throw ConfigError(cat(weights.path(), ": lvl_1L belongs to patch_nums ", Shape(found), ", the model has ",
                          Shape(config.patch_nums)));
  }
}

void check_key_biases(const TensorFile& weights) {
  for (const TensorEntry& entry : weights.entries()) {
    if (!entry.name.ends_with(".zero_k_bias")) { continue; }
    const std::vector<float> values = weights.read(entry.name).to_vector<float>();
    if (std::any_of(values.begin(), values.end(), [](float value) { return value != 0; })) {
      throw ConfigError(cat(weights.path(), ": ", entry.name, " is not zero: not the weights of a VAR"));
    }
  }
}

}  // namespace

const char* name_of(WeightKind kind) { return kind == WeightKind::kVar ? "var" : "vqvae"; }

std::optional<TensorFile> find_weights_if_any(const TensorFile& whole, WeightKind kind, const std::string& prefix) {
  const TensorFile file = prefix.empty() ? whole : whole.subtree(prefix);
  const std::vector<std::string> places = places_of(file, kind);
  if (places.empty()) { return std::nullopt; }
  if (places.size() == 1) { return file.without_prefix(places[0]); }
  if (const auto usual = usual_place(places)) { return file.without_prefix(*usual); }
  throw IoError(cat(file.path(), ": holds several models (", list(places), "); choose one with --prefix"));
}

TensorFile find_weights(const TensorFile& file, WeightKind kind, const std::string& prefix) {
  std::optional<TensorFile> found = find_weights_if_any(file, kind, prefix);
  if (found) { return *std::move(found); }
  std::vector<std::string> names;
  for (const TensorEntry& entry : file.entries()) { names.push_back(entry.name); }
  throw IoError(cat(file.path(), ": holds no ", kind == WeightKind::kVar ? "VAR transformer" : "tokenizer", " (no ",
                    signature(kind)[0], "); its ", names.size(), " tensors are ", list(names)));
}

std::vector<std::string> weight_prefixes(const TensorFile& file) {
  std::vector<std::string> prefixes;
  for (const WeightKind kind : {WeightKind::kVar, WeightKind::kVqvae}) {
    const std::vector<std::string> places = places_of(file, kind);
    const auto usual = usual_place(places);
    if (usual) {
      prefixes.push_back(*usual);
    } else {
      prefixes.insert(prefixes.end(), places.begin(), places.end());
    }
  }
  if (file.format() == "HDF5" && !prefixes.empty()) { prefixes.emplace_back("average/"); }
  return prefixes;
}

void load_var_weights(VarTransformer& model, const TensorFile& weights) {
  check_levels(weights, model.config());
  check_key_biases(weights);
  load_state_from(model, weights,
                  {.may_be_extra = {"attn_bias_for_masking"}, .may_be_missing = {"lvl_1L", "zero_k_bias"}});
}

void load_vqvae_weights(Vqvae& model, const TensorFile& weights) {
  load_state_from(model, weights, {.may_be_extra = {}, .may_be_missing = {"ema_vocab_hit_SV"}});
}

void check_tokenizer_fits(const VarConfig& var, const VqvaeConfig& tokenizer) {
  std::vector<std::string> differences;
  const auto compare = [&](const char* name, const auto& of_var, const auto& of_tokenizer) {
    if (of_var == of_tokenizer) { return; }
    const auto shown = [](const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<int64_t>>) {
        return Shape(value);
      } else {
        return value;
      }
    };
    differences.push_back(cat(name, " is ", shown(of_tokenizer), ", the transformer's ", shown(of_var)));
  };
  compare("patch_nums", var.patch_nums, tokenizer.patch_nums);
  compare("vocab_size", var.vocab_size, tokenizer.vocab_size);
  compare("z_channels (Cvae)", var.Cvae, tokenizer.z_channels);
  if (differences.empty()) { return; }
  throw ConfigError("the tokenizer does not fit the transformer: its " + join_names(differences, "; "));
}

std::vector<std::pair<std::string, Tensor>> official_buffers(const VarConfig& config) {
  const Pyramid pyramid(config.patch_nums);
  std::vector<std::pair<std::string, Tensor>> buffers = {{"lvl_1L", level_of_tokens(pyramid)},
                                                         {"attn_bias_for_masking", masking_bias(pyramid)}};
  for (int64_t i = 0; i < config.depth; ++i) {
    buffers.emplace_back(cat("blocks.", i, ".attn.zero_k_bias"), Tensor::zeros({config.embed_dim}));
  }
  return buffers;
}

std::vector<std::pair<std::string, Tensor>> official_buffers(const VqvaeConfig& config) {
  const auto scales = static_cast<int64_t>(config.patch_nums.size());
  return {{"quantize.ema_vocab_hit_SV", Tensor::zeros({scales, config.vocab_size})}};
}

}  // namespace terrace
