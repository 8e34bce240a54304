// Models from files: Terrace's checkpoints, or weights in any format (var/weights/weights.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "var/tokenizer/vqvae.h"
#include "var/transformer/transformer.h"
#include "var/weights/weights.h"

namespace terrace {

/// A transformer as VarTrainer stored it, or from weights in any other file: then without names and tables.
struct LoadedTransformer {
  std::unique_ptr<VarTransformer> model;  // in eval mode
  std::vector<std::string> class_names;   // may be empty
  std::string tokenizer_hash;             // of the tokenizer whose tokens it was trained on; may be empty
  State initial;                          // the position tables before the first step
  int64_t step = 0;
};
/// Throws IoError, ConfigError.
LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options = {});

/// The tokenizer of a checkpoint, in eval mode: its averaged weights where the run kept them. Or of weights in any
/// format. Throws IoError, ConfigError.
std::unique_ptr<Vqvae> load_vqvae(const std::string& path, const WeightOptions& options = {});

}  // namespace terrace
