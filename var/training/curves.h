// Logs as text, written by the tables of step_record.h: CSVs of figures and figures per scale, and JSON lines with
// everything.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "var/training/step_record.h"

namespace terrace {

/// A field of a CSV, of that many significant digits where it is no integer.
std::string csv_number(int64_t value, int digits);
std::string csv_number(double value, int digits);

/// Columns: the numbers of a record, then loss, accuracy and table gradient of each scale. Fields of what was not
/// measured are empty. Without the line's end.
std::string curves_csv_header(int64_t scales);
std::string curves_csv_row(const VarStepRecord& record, int64_t scales);
/// The tokenizer's log as a whole CSV, which has the columns of as many scales as the log's first record.
std::string curves_csv(const std::vector<VqvaeStepRecord>& log);
/// One line: all figures, per scale and per position. Keys of what was not measured are left out.
std::string curves_json(const VarStepRecord& record);

/// Puts the times and memory of the lines of curves_json, where these are of the same step, into records that have
/// none: a checkpoint does not keep them. Lines that are not such are passed over.
void restore_times(std::vector<VarStepRecord>& log, const std::string& lines);

/// curves.csv and curves.jsonl of a transformer's run, a row per record. Each is replaced whole, every few seconds and
/// by publish(), so that a run can be watched and no reader finds half a row.
class CurveFiles {
 public:
  CurveFiles(const std::string& folder, int64_t scales);
  void add(const VarStepRecord& record);
  void publish_sometimes();
  void publish();  // throws IoError

 private:
  using Clock = std::chrono::steady_clock;
  std::string folder_;
  int64_t scales_;
  std::string csv_, jsonl_;
  Clock::time_point published_;
};

}  // namespace terrace
