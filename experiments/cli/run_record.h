// run.json: what a run was. Full configuration, seed, revision, machine, library versions, times, memory, results,
// files.
//
//   RunRecord record("train_var", options.to_json(), common.seed);
//   ...
//   record.results()["loss"] = loss;
//   record.write(common.out);              // OUT/run.json, replaced whole
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/files/json.h"

namespace terrace {

class RunRecord {
 public:
  RunRecord(std::string program, Json configuration, uint64_t seed);

  /// Figures the program wants to keep, as an object.
  Json& results() { return results_; }

  /// The files of the run, relative to its folder; what was never set is not recorded.
  void set_files(std::vector<std::string> files) { files_ = std::move(files); }

  double seconds() const;  // since construction
  Json to_json() const;

  /// Writes `folder`/run.json under another name and renames it. The folder must exist. Throws IoError.
  void write(const std::string& folder) const;
  /// The same of a run that has not come to its end: "ended" is null.
  void write_unfinished(const std::string& folder) const;

 private:
  std::string program_, started_;
  Json configuration_, results_ = Json::object();
  std::optional<std::vector<std::string>> files_;
  uint64_t seed_;
  std::chrono::steady_clock::time_point start_;
};

/// CPU model, kernel column, threads, memory in bytes, operating system.
Json describe_machine();
/// Versions of oneDNN, OpenBLAS, HDF5 and the compiler.
Json describe_libraries();
/// The peak resident memory of this process so far, in bytes.
int64_t peak_resident_bytes();
/// UTC, "2025-01-31T12:00:00Z".
std::string timestamp_now();

/// Parses JSON from a file. Throws IoError, or ConfigError with the place of the first mistake.
Json read_json_file(const std::string& path);
struct CheckedJson {
  Json value;
  bool has_checksum = false;
};
/// What checked_json_text wrote into a file, without its checksum. Throws IoError, or ConfigError that names the file,
/// what is wrong and the way out, `advice`, where it is no JSON or has another checksum.
CheckedJson read_checked_json(const std::string& path, const std::string& advice);
/// What is wrong with such a file whose checksum differs.
inline constexpr const char* kChecksumDiffers =
    "it was edited or is damaged: its checksum differs (without its line \"checksum\" it is taken as it stands)";
/// A note that the file has none.
void note_without_checksum(const std::string& path);
/// The results in `folder`/run.json, which has them when a run has come to its end; an empty object where there is no
/// such file. Throws as stored_run.
Json recorded_results(const std::string& folder);
/// Creates a folder and its parents; an existing one is fine. Throws IoError where it cannot be written to.
void make_folder(const std::string& path);

}  // namespace terrace
