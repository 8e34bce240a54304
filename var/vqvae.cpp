#include "var/vqvae.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "autograd/functions.h"
#include "var/vqvae_layers.h"

namespace terrace {

// --- Configuration ---

QuantizerConfig VqvaeConfig::quantizer() const {
  QuantizerConfig q;
  q.vocab_size = vocab_size;
  q.channels = z_channels;
  q.patch_nums = patch_nums;
  q.share_quant_resi = share_quant_resi;
  q.quant_resi = quant_resi;
  q.beta = beta;
  q.using_znorm = using_znorm;
  return q;
}

void VqvaeConfig::validate() const {
  const std::pair<const char*, int64_t> positive[] = {
      {"in_channels", in_channels},       {"ch", ch},
      {"num_res_blocks", num_res_blocks}, {"z_channels", z_channels},
      {"vocab_size", vocab_size},         {"quant_conv_ks", quant_conv_ks},
      {"norm_groups", norm_groups}};
  for (const auto& [name, value] : positive) {
    if (value < 1) throw ConfigError(cat(name, ": must be positive, got ", value));
  }
  if (ch_mult.empty() || ch_mult.size() > 12)
    throw ConfigError(cat("ch_mult: needs 1 to 12 levels, got ", ch_mult.size()));
  for (const int64_t mult : ch_mult) {
    if (mult < 1 || ch * mult % norm_groups != 0) {
      throw ConfigError(
          cat("ch_mult: ch * mult = ", ch, " * ", mult, " must be a positive multiple of norm_groups = ", norm_groups));
    }
  }
  if (ch % norm_groups != 0) throw ConfigError(cat("ch: ", ch, " is not a multiple of norm_groups = ", norm_groups));
  if (quant_conv_ks % 2 == 0) throw ConfigError(cat("quant_conv_ks: must be odd, got ", quant_conv_ks));
  if (share_quant_resi < 0) throw ConfigError(cat("share_quant_resi: must be 0 or positive, got ", share_quant_resi));
  if (dropout < 0 || dropout >= 1) throw ConfigError(cat("dropout: must be in [0, 1), got ", dropout));
  Pyramid{patch_nums};
}

namespace {

// Calls f(key, member) for every field: the one list behind reading and writing.
template <class Config, class F>
void visit_fields(Config& c, F&& f) {
  f("in_channels", c.in_channels);
  f("ch", c.ch);
  f("ch_mult", c.ch_mult);
  f("num_res_blocks", c.num_res_blocks);
  f("z_channels", c.z_channels);
  f("vocab_size", c.vocab_size);
  f("patch_nums", c.patch_nums);
  f("share_quant_resi", c.share_quant_resi);
  f("quant_resi", c.quant_resi);
  f("beta", c.beta);
  f("using_znorm", c.using_znorm);
  f("using_sa", c.using_sa);
  f("using_mid_sa", c.using_mid_sa);
  f("quant_conv_ks", c.quant_conv_ks);
  f("dropout", c.dropout);
  f("norm_groups", c.norm_groups);
  f("norm_eps", c.norm_eps);
}

}  // namespace

void to_json(nlohmann::json& j, const VqvaeConfig& config) {
  j = nlohmann::json::object();
  visit_fields(config, [&](const char* key, const auto& value) { j[key] = value; });
}

void from_json(const nlohmann::json& j, VqvaeConfig& config) {
  if (!j.is_object()) throw ConfigError("tokenizer configuration: expected a JSON object");
  std::set<std::string> known;
  visit_fields(config, [&](const char* key, auto& value) {
    known.insert(key);
    if (!j.contains(key)) return;
    try {
      j.at(key).get_to(value);
    } catch (const nlohmann::json::exception&) {
      throw ConfigError(cat("tokenizer configuration: ", key, " has the wrong type: ", j.at(key).dump()));
    }
  });
  for (const auto& item : j.items()) {
    if (!known.contains(item.key())) throw ConfigError(cat("tokenizer configuration: unknown key ", item.key()));
  }
}

std::string to_text(const VqvaeConfig& config) { return nlohmann::json(config).dump(); }

VqvaeConfig vqvae_config_from_text(const std::string& text) {
  const nlohmann::json j = nlohmann::json::parse(text, nullptr, false);
  if (j.is_discarded()) throw ConfigError("tokenizer configuration: not JSON");
  return j.get<VqvaeConfig>();
}

VqvaeConfig vqvae_preset32() {
  VqvaeConfig config;
  config.ch = 16;
  config.ch_mult = {1, 2, 2};
  config.num_res_blocks = 1;
  config.z_channels = 16;
  config.vocab_size = 256;
  config.patch_nums = {1, 2, 3, 4, 5, 6, 8};
  config.norm_groups = 8;
  return config;
}

// --- Model ---

namespace {

const VqvaeConfig& validated(const VqvaeConfig& config) {
  config.validate();
  return config;
}

Tensor clamp_image(const Variable& x) { return clamp(x, -1, 1).value(); }

}  // namespace

Vqvae::Vqvae(const VqvaeConfig& config, Generator& g)
    : config_(validated(config)),
      encoder_(std::make_unique<VqvaeEncoder>(config, g)),
      decoder_(std::make_unique<VqvaeDecoder>(config, g)),
      quantize_(config.quantizer(), g),
      quant_conv_(config.z_channels, config.z_channels, config.quant_conv_ks, 1, config.quant_conv_ks / 2, Bias::kYes,
                  g),
      post_quant_conv_(config.z_channels, config.z_channels, config.quant_conv_ks, 1, config.quant_conv_ks / 2,
                       Bias::kYes, g) {
  register_module("encoder", *encoder_);
  register_module("decoder", *decoder_);
  register_module("quantize", quantize_);
  register_module("quant_conv", quant_conv_);
  register_module("post_quant_conv", post_quant_conv_);
}

Vqvae::~Vqvae() = default;

Variable Vqvae::encode_raw(const Variable& images) const {
  const int64_t d = config_.downsample();
  if (images.ndim() != 4 || images.dim(1) != config_.in_channels || images.dim(2) % d != 0 || images.dim(3) % d != 0) {
    throw ShapeError(cat("Vqvae::encode: images must be (B, ", config_.in_channels,
                         ", H, W) with H and W multiples of ", d, ", got ", images.value().describe()));
  }
  return (*encoder_)(images);
}

Variable Vqvae::encode(const Variable& images) const { return quant_conv_(encode_raw(images)); }

Variable Vqvae::decode(const Variable& f_hat) const {
  if (f_hat.ndim() != 4 || f_hat.dim(1) != config_.z_channels) {
    throw ShapeError(
        cat("Vqvae::decode: f_hat must be (B, ", config_.z_channels, ", h, w), got ", f_hat.value().describe()));
  }
  return (*decoder_)(post_quant_conv_(f_hat));
}

Vqvae::Output Vqvae::forward(const Variable& images) const {
  Output out;
  out.quantized = quantize_.forward(encode(images));
  out.reconstruction = decode(out.quantized.f_hat);
  return out;
}

Tensor Vqvae::images_to_indices(const Tensor& images) const {
  NoGrad no_grad;
  return quantize_.f_to_indices(encode(Variable(images)).value());
}

Tensor Vqvae::f_hat_to_images(const Tensor& f_hat) const {
  NoGrad no_grad;
  return clamp_image(decode(Variable(f_hat)));
}

Tensor Vqvae::indices_to_images(const Tensor& indices) const {
  return f_hat_to_images(quantize_.indices_to_f_hat(indices));
}

Tensor Vqvae::reconstruct(const Tensor& images) const { return indices_to_images(images_to_indices(images)); }

double psnr_from_mse(double mse) { return 10 * std::log10(4 / mse); }

}  // namespace terrace
