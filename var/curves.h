// The training log of the transformer as text: a CSV of scalars, and JSON lines with everything.
#pragma once

#include <string>

#include "var/var_trainer.h"

namespace terrace {

/// Columns: the scalars of a record, then loss and table gradient of each scale. Without the line's end.
std::string curves_csv_header(int64_t scales);
std::string curves_csv_row(const VarStepRecord& record, int64_t scales);
/// One line: all figures, per scale and per position.
std::string curves_json(const VarStepRecord& record);

}  // namespace terrace
