// Checkpoints of training in HDF5: model, optimizer, generator, position in the data, configuration, initial tables,
// log.
//
//   /model/NAME      parameters and buffers under their official names     /optimizer/NAME   moments and step counts
//   /initial/NAME    position tables before the first step                 /log/NAME         one row per logged step
// Attributes of the root: terrace_kind, terrace_version, config (JSON of the model), training (JSON of the trainer),
// step, seed... Nothing in the file depends on the clock: two runs of one seed write the same bytes.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "data/hdf5_file.h"
#include "nn/module.h"
#include "var/transformer.h"

namespace terrace {

inline constexpr int64_t kCheckpointVersion = 1;

/// Every parameter and buffer of `module` under `group`/NAME.
void write_module(Hdf5File& file, const std::string& group, Module& module);
/// Reads them back. Throws IoError naming the file and the first missing name, ShapeError naming the tensor.
void read_module(const Hdf5File& file, const std::string& group, Module& module);

void write_tensors(Hdf5File& file, const std::string& group, const std::map<std::string, Tensor>& tensors);
std::map<std::string, Tensor> read_tensors(const Hdf5File& file, const std::string& group);

/// Marks the root with kind ("var", "vqvae") and version / refuses another one by name.
void write_kind(Hdf5File& file, const std::string& kind);
void check_kind(const Hdf5File& file, const std::string& kind);

/// A transformer from a checkpoint of VarTrainer, in eval mode.
std::unique_ptr<VarTransformer> load_transformer(const std::string& path);

}  // namespace terrace
