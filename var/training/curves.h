// The training log of the transformer as text: a CSV of scalars, and JSON lines with everything.
#pragma once

#include <string>

#include "var/training/var_trainer.h"

namespace terrace {

/// Columns: the scalars of a record, then loss, accuracy and table gradient of each scale. Fields of what was not
/// measured are empty. Without the line's end.
std::string curves_csv_header(int64_t scales);
std::string curves_csv_row(const VarStepRecord& record, int64_t scales);
/// One line: all figures, per scale and per position. Keys of what was not measured are left out.
std::string curves_json(const VarStepRecord& record);

/// Puts the times and memory of the lines of curves_json, where these are of the same step, into records that have
/// none: a checkpoint does not keep them. Lines that are not such are passed over.
void restore_times(std::vector<VarStepRecord>& log, const std::string& lines);

}  // namespace terrace
