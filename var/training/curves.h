// Logs as text, written by the tables of step_record.h: CSVs of figures and figures per scale, and JSON lines with
// everything. Of VarStepRecord and VqvaeStepRecord; what both have has the same name.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "var/training/step_record.h"

namespace terrace {

/// Columns: the numbers of a record, then those per scale, as loss_scale_0. Fields of what was not measured are empty.
/// Without the line's end.
template <class Record>
std::string curves_csv_header(int64_t scales);
template <class Record>
std::string curves_csv_row(const Record& record, int64_t scales);
/// One line: all figures, per scale and per position, and a checksum. Keys of what was not measured are left out.
template <class Record>
std::string curves_json(const Record& record);

/// Puts what checkpoints do not keep of a record (times, memory, Frechet distances) from the lines of curves_json,
/// where these are of the same step, into records that have none. Lines that are not such, or were edited or are
/// damaged, are passed over, the latter with a note that names `path`.
template <class Record>
void restore_from_curves(std::vector<Record>& log, const std::string& lines, const std::string& path);

/// curves.csv and curves.jsonl of a run, a row per record. Each is replaced whole, every few seconds and by publish(),
/// so that a run can be watched and no reader finds half a row. A run without a row has no such files.
template <class Record>
class CurveFiles {
 public:
  CurveFiles(const std::string& folder, int64_t scales);
  /// A record of the same step as the last replaces it, and has those of its figures that it lacks itself and that
  /// checkpoints do not keep. Returns what was written.
  Record add(Record record);
  /// Adds the records of a resumed run, with what restore_from_curves finds in the files that are there. Returns the
  /// last; an empty one where there is none.
  Record add_earlier(std::vector<Record> log);
  void publish_sometimes();
  void publish();  // throws IoError

 private:
  using Clock = std::chrono::steady_clock;
  std::string folder_;
  int64_t scales_;
  std::string csv_, jsonl_;
  int64_t last_step_ = -1;
  size_t last_csv_ = 0, last_jsonl_ = 0;  // where the last row begins
  Clock::time_point published_;
};

}  // namespace terrace
