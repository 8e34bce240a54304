// Checkpoints of training in HDF5: model, optimizer, generator, position in the data, configuration, initial tables,
// log.
//
//   /model/NAME      parameters and buffers under their official names     /optimizer/NAME   moments and step counts
//   /initial/NAME    position tables before the first step                 /log/NAME         one row per logged step
// Attributes of the root: terrace_kind, terrace_version, config (JSON of the model), training (JSON of the trainer),
// step, seed... Nothing in the file depends on the clock: two runs of one seed write the same bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/hdf5/file.h"
#include "nn/module.h"
#include "var/transformer/transformer.h"
#include "var/weights/weights.h"

namespace terrace {

/// One dataset per entry, under `group`/NAME, and back.
void write_state(Hdf5File& file, const std::string& group, const State& state);
State read_state(const Hdf5File& file, const std::string& group);

/// A transformer as VarTrainer stored it, or from weights in any format (var/weights/weights.h): then without names and tables.
struct LoadedTransformer {
  std::unique_ptr<VarTransformer> model;  // in eval mode
  std::vector<std::string> class_names;   // may be empty
  std::string tokenizer_hash;             // of the tokenizer whose tokens it was trained on; may be empty
  State initial;                          // the position tables before the first step
  int64_t step = 0;
};
/// Throws IoError, ConfigError.
LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options = {});

}  // namespace terrace
