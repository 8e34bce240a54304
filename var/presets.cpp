#include "var/presets.h"

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

const std::vector<int64_t> kPyramid256 = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
const std::vector<int64_t> kPyramid512 = {1, 2, 3, 4, 6, 9, 13, 18, 24, 32};

// Width and heads follow from the depth; what differs else is how far the gates of adaLN are open at the start, since
// a deeper sum of branches needs a quieter one.
VarConfig released(int64_t depth, double gamma_init) {
  VarConfig c;
  c.depth = depth;
  c.embed_dim = 64 * depth;
  c.num_heads = depth;
  c.patch_nums = kPyramid256;
  c.num_classes = 1000;
  c.adaln_gamma_init = gamma_init;
  return c;
}

VarConfig released_512(int64_t depth, double gamma_init) {
  VarConfig c = released(depth, gamma_init);
  c.shared_aln = true;
  c.patch_nums = kPyramid512;
  return c;
}

template <class Config>
struct Preset {
  const char* name;
  Config (*make)();
};

constexpr Preset<VarConfig> kVarPresets[] = {
    {"var-32px", var_preset32},
    {"var-d16", [] { return released(16, 1e-3); }},
    {"var-d20", [] { return released(20, 1e-3); }},
    {"var-d24", [] { return released(24, 1e-4); }},
    {"var-d30", [] { return released(30, 1e-5); }},
    {"var-d36", [] { return released_512(36, 5e-6); }},
};

constexpr Preset<VqvaeConfig> kVqvaePresets[] = {
    {"vqvae-32px", vqvae_preset32},
    {"vae-ch160v4096z32", [] { return VqvaeConfig(); }},
};

template <class Config, size_t N>
std::vector<std::string> names_of(const Preset<Config> (&presets)[N]) {
  std::vector<std::string> names;
  for (const Preset<Config>& preset : presets) { names.emplace_back(preset.name); }
  return names;
}

template <class Config, size_t N>
Config find(const Preset<Config> (&presets)[N], const char* what, const std::string& name) {
  std::vector<std::string> known;
  for (const Preset<Config>& preset : presets) {
    if (name == preset.name) { return preset.make(); }
    known.emplace_back(preset.name);
  }
  throw ConfigError(cat(what, " '", name, "' is not known; there are ", join_names(known)));
}

}  // namespace

VarConfig var_preset(const std::string& name) { return find(kVarPresets, "model", name); }
VqvaeConfig vqvae_preset(const std::string& name) { return find(kVqvaePresets, "tokenizer", name); }

const std::vector<std::string>& var_preset_names() {
  static const std::vector<std::string> names = names_of(kVarPresets);
  return names;
}

const std::vector<std::string>& vqvae_preset_names() {
  static const std::vector<std::string> names = names_of(kVqvaePresets);
  return names;
}

}  // namespace terrace
