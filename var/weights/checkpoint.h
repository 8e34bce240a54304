// Checkpoints of training in HDF5: model, optimizer, generator, position in the data, configuration, initial tables,
// log.
//
//   /model/NAME      parameters and buffers under their official names     /optimizer/NAME   moments and step counts
//   /initial/NAME    position tables before the first step                 /log/NAME         one row per logged step
// VarTrainer::save and VqvaeTrainer::save write them (var/training/*_checkpoint.cpp). Attributes of the root:
// terrace_kind, terrace_version, config (JSON of the model), training (JSON of the trainer), step, seed... Nothing in
// the file depends on the clock: two runs of one seed write the same bytes.
#pragma once

#include <string>

#include "data/hdf5/file.h"
#include "nn/module.h"

namespace terrace {

/// One dataset per entry, under `group`/NAME, and back.
void write_state(Hdf5File& file, const std::string& group, const State& state);
State read_state(const Hdf5File& file, const std::string& group);

}  // namespace terrace
