// Models from files: Terrace's checkpoints, or weights in any format (var/weights/weights.h). Each path may be the
// folder of a run in place of its checkpoint (checkpoint_file).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "var/tokenizer/vqvae.h"
#include "var/transformer/transformer.h"
#include "var/weights/weights.h"

namespace terrace {

/// The weights of a model of that kind: those that are trained in a checkpoint of Terrace, or what find_weights finds
/// in any other file. Throws IoError that says what the file is where it is something else.
TensorFile open_weights(const std::string& path, WeightKind kind, const std::string& prefix = "");

/// A transformer as VarTrainer stored it, or from weights in any other file, which tell less about it.
struct LoadedTransformer {
  std::unique_ptr<VarTransformer> model;  // in eval mode
  std::vector<std::string> class_names;   // may be empty
  std::string tokenizer_hash;             // of the tokenizer whose tokens it was trained on; may be empty
};
/// Throws IoError, ConfigError.
LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options = {});

/// The tokenizer of a checkpoint, in eval mode: its averaged weights where the run kept them. Or of weights in any
/// format. Throws IoError, ConfigError.
std::unique_ptr<Vqvae> load_vqvae(const std::string& path, const WeightOptions& options = {});

}  // namespace terrace
