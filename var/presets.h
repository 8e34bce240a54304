// Models by name: the released ones, and the small ones that this repository trains.
//
//   VarConfig model = var_preset("var-d16");                         // 256 px, 16 blocks of 1024 channels
//   VqvaeConfig tokenizer = vqvae_preset("vae-ch160v4096z32");       // its tokenizer
//
// A tokenizer's weights do not depend on its pyramid; to go with a transformer of another one (var-d36: 512 px), give
// it that transformer's patch_nums. Source: the authors' model cards and training commands (arXiv 2404.02905).
#pragma once

#include <string>
#include <vector>

#include "var/config.h"
#include "var/vqvae_config.h"

namespace terrace {

/// var-32px, var-d16, var-d20, var-d24, var-d30, var-d36. Throws ConfigError that lists the names.
VarConfig var_preset(const std::string& name);
const std::vector<std::string>& var_preset_names();

/// vqvae-32px, vae-ch160v4096z32. Throws ConfigError that lists the names.
VqvaeConfig vqvae_preset(const std::string& name);
const std::vector<std::string>& vqvae_preset_names();

}  // namespace terrace
