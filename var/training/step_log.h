// Logs in checkpoints, written by the tables of step_record.h. Times and memory stay out: nothing in a checkpoint
// depends on the clock.
#pragma once

#include <string>
#include <vector>

#include "data/hdf5/file.h"
#include "var/training/step_record.h"

namespace terrace {

/// A dataset for each member: log/NAME, (R) of numbers and (R, n) of vectors, rows of -1 where one was not measured.
void write_var_log(Hdf5File& file, const std::vector<VarStepRecord>& log);
std::vector<VarStepRecord> read_var_log(const Hdf5File& file);

/// GROUP/values, (R, columns), integers first, and GROUP/NAME, (R, n), for each vector; nothing where there are no
/// records. Of VqvaeStepRecord and VqvaeEvaluation. Reading throws IoError where the columns are not those of the
/// table.
template <class Record>
void write_table(Hdf5File& file, const std::string& group, const std::vector<Record>& records);
template <class Record>
std::vector<Record> read_table(const Hdf5File& file, const std::string& group);

}  // namespace terrace
