// Where a program writes. Work that is there already is neither mixed with that of another run nor replaced unasked: a
// run has a folder of its own, whose run.json lists its files, and a file that the user names must be new.
//
//   OutputFolder folder(common.out, {.program = "sample", .files = {"grid.png", "images/0000.png"}}, IfThere::kRefuse);
//   ...                                      // open models and data
//   folder.begin(record);                    // run.json, "ended": null
//   write_png(folder.path("grid.png"), grid);
//   folder.finish(record);                   // run.json, whole
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/cli/inputs.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_lock.h"
#include "experiments/cli/run_record.h"
#include "experiments/cli/stored_run.h"

namespace terrace {

/// What a program does where its folder holds a run already.
enum class IfThere : uint8_t { kRefuse, kResume, kOverwrite };

/// By the two options. Throws ConfigError where both are given.
IfThere if_there(bool resume, bool overwrite);

/// Declares --overwrite for a program that writes a run into OUT; it is not recorded in run.json, so that a run
/// repeated from its record replaces nothing.
void declare_overwrite(Options& options, bool& overwrite);
/// The same for one that writes single files, which `what` names ("OUT", "the files of --json and --save-stats").
void declare_overwrite_file(Options& options, bool& overwrite, const std::string& what);

/// What a run writes; paths are relative to its folder.
struct OutputPlan {
  std::string program;
  std::vector<std::string> files = {};
  std::vector<std::string> temporary = {};  // are there until the run has come to its end
  bool resumable = false;                   // --resume could go on with the run that is there: a refusal names it
  std::string reached = {};                 // how far the run that is there has come, for a refusal: "step 3 of 4"
  std::vector<InputFile> inputs = {};       // what the run reads, as Options::inputs() tells it: it is not written over
};

class OutputFolder {
 public:
  /// Takes the lock of the folder, which is made where it is not there, and looks at what it holds. Throws ConfigError
  /// that says what is there and the way out: where another process writes into it, where it holds a run (kRefuse), a
  /// run of another program, a damaged run.json, a file of the plan that is an input, or that no run.json lists
  /// (kRefuse, kOverwrite), or for kOverwrite a run.json that lists no files, names one outside of the folder, or lists
  /// an input. Whether a run to resume is the same is for the program to ask. Throws IoError where it is no folder or
  /// cannot be written to.
  OutputFolder(std::string folder, OutputPlan plan, IfThere if_there);
  /// Without begin(), a folder that was made is removed; without finish(), run.json where the run has left no file.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// kOverwrite: removes exactly the files that the old run.json lists. Removes what processes that have ended left of
  /// files that they were writing (data/files/leftovers.h). Makes the folders of the plan's files, and writes run.json
  /// with the files and "ended": null. What a resumed run had listed stays listed.
  void begin(RunRecord& record);
  /// One more file of the run, known only now; run.json lists it from here on.
  void add(RunRecord& record, const std::string& file);
  /// Writes run.json with the results so far of a run that was stopped and can be gone on with: "ended" stays null.
  void stop(RunRecord& record) { write_unfinished(record); }
  /// Writes run.json as that of a run that has come to its end, without the temporary files.
  void finish(RunRecord& record);

  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  /// What the run.json that was found says, nullopt without one, and the files that it lists.
  const std::optional<StoredRun>& run_before() const { return before_; }
  const std::vector<std::string>& files_before() const { return files_before_; }

 private:
  std::string advice() const;
  void check_program() const;
  [[noreturn]] void refuse() const;
  void check_unlisted() const;
  void check_removal() const;
  std::vector<std::string> listed() const;
  std::vector<std::string> folders() const;
  void remove_run_before() const;
  void write_unfinished(RunRecord& record) const;
  bool has_files() const;

  std::string folder_;
  OutputPlan plan_;
  OutputLock lock_;
  InputFiles inputs_;
  IfThere if_there_;
  std::optional<StoredRun> before_;
  std::vector<std::string> files_before_;
  bool begun_ = false, finished_ = false;
};

/// For a file that the user names by `option` ("" by place). Throws ConfigError where it is an input, or is there and
/// not to be overwritten.
void check_new_file(const std::string& path, bool overwrite, const std::string& option,
                    const std::vector<InputFile>& inputs);

/// The same of a file that is written by this process alone as long as the object lives; of "" nothing. Throws
/// ConfigError where another process writes it.
class OutputFile {
 public:
  OutputFile(const std::string& path, bool overwrite, const std::string& option, const std::vector<InputFile>& inputs);

 private:
  std::optional<OutputLock> lock_;
};

}  // namespace terrace
