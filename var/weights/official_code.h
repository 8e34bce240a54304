// What the released code of VAR (github.com/FoundationVision/VAR) can make of a model's weights.
#pragma once

#include <string>
#include <vector>

#include "var/config.h"
#include "var/vqvae_config.h"

namespace terrace {

/// What has to be changed in that code before it loads the model, a phrase each; nothing where its constructors and
/// strict loading take the model as it is. Its constructors have arguments for depth, width, heads, pyramid and the
/// like. It has one encoding, "learned", and a tokenizer's ch_mult, num_res_blocks, attention and groups are constants
/// in it.
std::vector<std::string> missing_in_official_code(const VarConfig& config);
std::vector<std::string> missing_in_official_code(const VqvaeConfig& config);

}  // namespace terrace
