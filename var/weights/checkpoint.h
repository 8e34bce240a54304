// Checkpoints of training in HDF5: model, optimizer, generator, position in the data, configuration, initial tables,
// log.
//
//   /model/NAME      parameters and buffers under their official names     /optimizer/NAME   moments and step counts
//   /initial/NAME    position tables before the first step                 /log/NAME         one row per logged step
// VarTrainer::save and VqvaeTrainer::save write them (var/training/*_checkpoint.cpp). Attributes of the root:
// terrace_kind, terrace_version, config (JSON of the model), training (JSON of the trainer), step, seed... Nothing in
// the file depends on the clock: two runs of one seed write the same bytes. docs/weights.md lists all of it.
#pragma once

#include <string>
#include <vector>

#include "data/formats/open_tensor_file.h"
#include "data/hdf5/file.h"
#include "nn/module.h"

namespace terrace {

/// One dataset per entry, under `group`/NAME, and back.
void write_state(Hdf5File& file, const std::string& group, const State& state);
State read_state(const Hdf5File& file, const std::string& group);

/// The file that `path` stands for wherever weights are asked for: itself, or where it is the folder of a run of
/// train_vqvae or train_var (their OUT) the checkpoint.h5 in it. Throws IoError that says what was looked for and what
/// is there, runs in folders below among it.
std::string checkpoint_file(const std::string& path);

/// The names of the classes beside the weights: the dataset class_names of a checkpoint, the text class_names of the
/// formats that Terrace exports to; none in other files. Throws IoError where the text is not a JSON list of texts.
std::vector<std::string> stored_class_names(const TensorFile& file);

}  // namespace terrace
