#include "var/config.h"

#include <algorithm>
#include <cmath>

#include "data/files/json.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "var/config_json.h"
#include "var/pyramid.h"

namespace terrace {
namespace {

/// Reads the members of one JSON object; what was not asked for is refused at the end.
class ObjectReader {
 public:
  ObjectReader(const Json& object, const char* what) : object_(object), what_(what) {
    if (!object.is_object()) { throw ConfigError(cat(what, ": expected a JSON object, got ", object.type_name())); }
  }

  template <class T>
  void read(const char* key, T& target) {
    known_.push_back(key);
    const auto found = object_.find(key);
    if (found == object_.end()) { return; }
    if (!json_fits<T>(*found)) { throw ConfigError(cat(what_, ": ", key, " has the wrong type: ", found->dump())); }
    found->get_to(target);
  }

  void refuse_unknown() const {
    for (const auto& item : object_.items()) {
      if (std::find(known_.begin(), known_.end(), item.key()) != known_.end()) { continue; }
      throw ConfigError(cat(what_, ": unknown key '", item.key(), "'; known: ", join_names(known_, " ")));
    }
  }

 private:
  const Json& object_;
  const char* what_;
  std::vector<std::string> known_;
};

void require(bool condition, const char* field, const std::string& rule, const std::string& value) {
  if (!condition) { throw ConfigError(cat("VAR configuration: ", field, " must be ", rule, ", got ", value)); }
}

void require_rate(const char* field, double value) { require(value >= 0 && value < 1, field, "in [0, 1)", cat(value)); }

}  // namespace

int64_t VarConfig::hidden_dim() const {
  return static_cast<int64_t>(std::llround(static_cast<double>(embed_dim) * mlp_ratio));
}

int64_t VarConfig::length() const {
  int64_t tokens = 0;
  for (const int64_t p : patch_nums) { tokens += p * p; }
  return tokens;
}

void VarConfig::validate() const {
  const auto positive = [](const char* field, int64_t value) { require(value >= 1, field, "positive", cat(value)); };
  positive("depth", depth);
  positive("embed_dim", embed_dim);
  positive("num_heads", num_heads);
  require(embed_dim % num_heads == 0, "embed_dim", cat("a multiple of num_heads = ", num_heads), cat(embed_dim));
  require(mlp_ratio > 0 && mlp_ratio <= 1024 && hidden_dim() >= 1, "mlp_ratio", "positive and at most 1024",
          cat(mlp_ratio));
  require(norm_eps > 0, "norm_eps", "positive", cat(norm_eps));
  positive("vocab_size", vocab_size);
  positive("Cvae", Cvae);
  positive("num_classes", num_classes);
  Pyramid{patch_nums};  // its own errors
  require_rate("cond_drop_rate", cond_drop_rate);
  if (drop_path_rate < 0 && last_drop_path() >= 1) {
    throw ConfigError(cat("VAR configuration: depth ", depth, " gives a drop path rate of ", last_drop_path(),
                          " (0.1 depth / 24); set drop_path_rate"));
  }
  require_rate("drop_path_rate", last_drop_path());
  require_rate("drop_rate", drop_rate);
  require(positions.learned_weight >= 0 && positions.learned_weight <= 1, "positions.learned_weight", "in [0, 1]",
          cat(positions.learned_weight));
  require(std::isfinite(positions.scale), "positions.scale", "finite", cat(positions.scale));
  require(positions.rms >= 0 && std::isfinite(positions.rms), "positions.rms", "0 or positive", cat(positions.rms));
}

VarConfig var_preset32() {
  VarConfig c;
  c.depth = 4;
  c.embed_dim = 128;
  c.num_heads = 4;
  c.adaln_gamma_init = 0.1;  // the official 1e-3 keeps the branches shut for longer than the whole run
  return c;
}

void to_json(Json& j, const PositionalConfig& c) {
  j = Json{{"kind", c.kind},
           {"learned_weight", c.learned_weight},
           {"scale", c.scale},
           {"rms", c.rms},
           {"level_embedding", c.level_embedding}};
}

void from_json(const Json& j, PositionalConfig& c) {
  ObjectReader reader(j, "positions");
  reader.read("kind", c.kind);
  reader.read("learned_weight", c.learned_weight);
  reader.read("scale", c.scale);
  reader.read("rms", c.rms);
  reader.read("level_embedding", c.level_embedding);
  reader.refuse_unknown();
}

void to_json(Json& j, const VarConfig& c) {
  j = Json{{"depth", c.depth},
           {"embed_dim", c.embed_dim},
           {"num_heads", c.num_heads},
           {"mlp_ratio", c.mlp_ratio},
           {"norm_eps", c.norm_eps},
           {"attn_l2_norm", c.attn_l2_norm},
           {"shared_aln", c.shared_aln},
           {"patch_nums", c.patch_nums},
           {"vocab_size", c.vocab_size},
           {"Cvae", c.Cvae},
           {"num_classes", c.num_classes},
           {"cond_drop_rate", c.cond_drop_rate},
           {"drop_path_rate", c.drop_path_rate},
           {"drop_rate", c.drop_rate},
           {"adaln_init", c.adaln_init},
           {"adaln_gamma_init", c.adaln_gamma_init}};
  to_json(j["positions"], c.positions);
}

void from_json(const Json& j, VarConfig& c) {
  ObjectReader reader(j, "VAR configuration");
  reader.read("depth", c.depth);
  reader.read("embed_dim", c.embed_dim);
  reader.read("num_heads", c.num_heads);
  reader.read("mlp_ratio", c.mlp_ratio);
  reader.read("norm_eps", c.norm_eps);
  reader.read("attn_l2_norm", c.attn_l2_norm);
  reader.read("shared_aln", c.shared_aln);
  reader.read("patch_nums", c.patch_nums);
  reader.read("vocab_size", c.vocab_size);
  reader.read("Cvae", c.Cvae);
  reader.read("num_classes", c.num_classes);
  reader.read("cond_drop_rate", c.cond_drop_rate);
  reader.read("drop_path_rate", c.drop_path_rate);
  reader.read("drop_rate", c.drop_rate);
  reader.read("adaln_init", c.adaln_init);
  reader.read("adaln_gamma_init", c.adaln_gamma_init);
  Json positions;
  reader.read("positions", positions);
  if (!positions.is_null()) { from_json(positions, c.positions); }
  reader.refuse_unknown();
}

std::string to_text(const VarConfig& config) {
  Json j;
  to_json(j, config);
  return json_text(j);
}

VarConfig var_config_from_text(const std::string& text) {
  VarConfig config;
  try {
    from_json(parse_json(text), config);
  } catch (const SortedJson::exception&) {  // not JSON, or a number beyond every type
    throw ConfigError("VAR configuration: not valid JSON");
  }
  config.validate();
  return config;
}

}  // namespace terrace
