#include "var/vqvae_config.h"

#include <set>

#include "data/files/json.h"
#include "tensor/base/error.h"
#include "var/config_json.h"
#include "var/pyramid.h"

namespace terrace {

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
  constexpr int64_t kMaxField = 1 << 24;  // so that products of two fit
  const std::pair<const char*, int64_t> positive[] = {
      {"in_channels", in_channels},       {"ch", ch},
      {"num_res_blocks", num_res_blocks}, {"z_channels", z_channels},
      {"vocab_size", vocab_size},         {"quant_conv_ks", quant_conv_ks},
      {"norm_groups", norm_groups}};
  for (const auto& [name, value] : positive) {
    if (value < 1) { throw ConfigError(cat(name, ": must be positive, got ", value)); }
    if (value > kMaxField) { throw ConfigError(cat(name, ": must be at most ", kMaxField, ", got ", value)); }
  }
  if (ch_mult.empty() || ch_mult.size() > 12) {
    throw ConfigError(cat("ch_mult: needs 1 to 12 levels, got ", ch_mult.size()));
  }
  for (const int64_t mult : ch_mult) {
    if (mult < 1 || mult > kMaxField || ch * mult % norm_groups != 0) {
      throw ConfigError(
          cat("ch_mult: ch * mult = ", ch, " * ", mult, " must be a positive multiple of norm_groups = ", norm_groups));
    }
  }
  if (ch % norm_groups != 0) {
    throw ConfigError(cat("ch: ", ch, " is not a multiple of norm_groups = ", norm_groups));
  }
  if (quant_conv_ks % 2 == 0) { throw ConfigError(cat("quant_conv_ks: must be odd, got ", quant_conv_ks)); }
  if (share_quant_resi < 0) {
    throw ConfigError(cat("share_quant_resi: must be 0 or positive, got ", share_quant_resi));
  }
  if (share_quant_resi > std::max<int64_t>(static_cast<int64_t>(patch_nums.size()), 4)) {  // 4: the official default
    throw ConfigError(cat("share_quant_resi: ", share_quant_resi, " convolutions for ", patch_nums.size(), " scales"));
  }
  if (dropout < 0 || dropout >= 1) { throw ConfigError(cat("dropout: must be in [0, 1), got ", dropout)); }
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

void to_json(SortedJson& j, const VqvaeConfig& config) {
  j = SortedJson::object();
  visit_fields(config, [&](const char* key, const auto& value) { j[key] = value; });
}

void from_json(const SortedJson& j, VqvaeConfig& config) {
  if (!j.is_object()) { throw ConfigError("tokenizer configuration: expected a JSON object"); }
  std::set<std::string> known;
  visit_fields(config, [&](const char* key, auto& value) {
    known.insert(key);
    if (!j.contains(key)) { return; }
    if (!json_fits<std::decay_t<decltype(value)>>(j.at(key))) {
      throw ConfigError(cat("tokenizer configuration: ", key, " has the wrong type: ", json_text(j.at(key))));
    }
    j.at(key).get_to(value);
  });
  for (const auto& item : j.items()) {
    if (!known.contains(item.key())) { throw ConfigError(cat("tokenizer configuration: unknown key ", item.key())); }
  }
}

std::string to_text(const VqvaeConfig& config) { return json_text(SortedJson(config)); }

VqvaeConfig vqvae_config_from_text(const std::string& text) {
  const SortedJson j = parse_json_if_valid<SortedJson>(text);
  if (j.is_discarded()) { throw ConfigError("tokenizer configuration: not valid JSON"); }
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

}  // namespace terrace
