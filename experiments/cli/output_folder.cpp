#include "experiments/cli/output_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "data/files/leftovers.h"
#include "tensor/base/error.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAnotherFolder = "give another folder with --out";

bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

/// Whether the path stays below the folder that it is relative to.
bool is_below(const std::string& file) {
  const fs::path path = fs::path(file).lexically_normal();
  return !path.empty() && path.is_relative() && *path.begin() != ".." && *path.begin() != ".";
}

/// A run.json lists every file, and is written within the two seconds in which Ctrl-C is answered.
constexpr size_t kMaxFiles = 250'000;

std::string folder_of(const std::string& file) { return fs::path(file).parent_path().string(); }

}  // namespace

IfThere if_there(bool resume, bool overwrite) {
  if (resume && overwrite) {
    throw ConfigError("--resume goes on with the run in OUT, --overwrite replaces it; give one of them");
  }
  return resume ? IfThere::kResume : overwrite ? IfThere::kOverwrite : IfThere::kRefuse;
}

void declare_overwrite(Options& options, bool& overwrite) {
  options.add("overwrite", overwrite, "replace the run in OUT: the files that its run.json lists are removed, no other")
      .unrecorded();
}

void declare_overwrite_file(Options& options, bool& overwrite, const std::string& what) {
  options.add("overwrite", overwrite, cat("replace ", what, " where it is there already")).unrecorded();
}

void check_new_file(const std::string& path, bool overwrite, const std::string& option,
                    const std::vector<InputFile>& inputs) {
  if (path.empty() || !is_there(path)) { return; }
  const std::string another = cat("give another name", option.empty() ? "" : " with " + option);
  InputFiles(inputs).refuse_output(path, another);
  if (!overwrite) { throw ConfigError(cat(path, " is there already; add --overwrite to replace it, or ", another)); }
}

OutputFile::OutputFile(const std::string& path, bool overwrite, const std::string& option,
                       const std::vector<InputFile>& inputs) {
  if (path.empty()) { return; }
  check_new_file(path, overwrite, option, inputs);
  lock_.emplace(OutputLock::of_file(path, option));
  check_new_file(path, overwrite, option, inputs);  // another process may have written it before the lock was taken
}

OutputFolder::OutputFolder(std::string folder, OutputPlan plan, IfThere if_there)
    : folder_(std::move(folder)),
      plan_(std::move(plan)),
      lock_(OutputLock::of_folder(folder_)),
      inputs_(plan_.inputs),
      if_there_(if_there) {
  if (plan_.files.size() > kMaxFiles) {
    throw ConfigError(cat(plan_.files.size(), " files are more than the ", kMaxFiles, " that a run may have; make ",
                          "several runs", plan_.program == "sample" ? ", or leave files out with --no-files" : ""));
  }
  before_ = stored_run(folder_, advice());
  for (const auto* files : {&plan_.temporary, &plan_.files}) {
    for (const std::string& file : *files) { inputs_.refuse_output(path(file), kAnotherFolder); }
  }
  if (before_) {
    check_program();
    files_before_ = before_->files.value_or(std::vector<std::string>());
    if (if_there_ == IfThere::kRefuse) { refuse(); }
    if (if_there_ == IfThere::kOverwrite) { check_removal(); }
  }
  if (if_there_ != IfThere::kResume) { check_unlisted(); }
}

OutputFolder::~OutputFolder() {
  if (!begun_ || finished_ || has_files()) { return; }
  std::error_code ignored;
  for (const std::string& below : folders()) { fs::remove(path(below), ignored); }
  fs::remove(path("run.json"), ignored);
}

/// What to do about a damaged run.json.
std::string OutputFolder::advice() const {
  return cat("move it away", plan_.resumable ? " (--resume from a checkpoint needs none)" : "",
             ", or give another folder with --out");
}

void OutputFolder::check_program() const {
  if (before_->program == plan_.program) { return; }
  throw ConfigError(cat(folder_, " holds a run of ", before_->program, ", which ", plan_.program,
                        " does not replace; give another folder with --out"));
}

void OutputFolder::refuse() const {
  const bool ended = !before_->ended.empty();
  const std::string at = plan_.reached.empty() ? "" : cat(" and has reached ", plan_.reached);
  throw ConfigError(cat(folder_, ended ? " holds a run of " : " holds an unfinished run of ", plan_.program,
                        ended ? " that ended " : " that began ", ended ? before_->ended : before_->started, at,
                        "; add ", plan_.resumable ? "--resume to go on with it, " : "",
                        "--overwrite to replace it, or give another folder with --out"));
}

/// A file of the plan that no record lists is not this program's to replace.
void OutputFolder::check_unlisted() const {
  const std::set<std::string> known(files_before_.begin(), files_before_.end());
  for (const auto* files : {&plan_.temporary, &plan_.files}) {
    for (const std::string& file : *files) {
      interruption_point();
      if (known.contains(file) || !is_there(path(file))) { continue; }
      const bool may_resume = plan_.resumable && if_there_ == IfThere::kRefuse;
      const std::string at = plan_.reached.empty() ? "" : cat(" (its run has reached ", plan_.reached, ")");
      throw ConfigError(cat(path(file), " is there already and no run.json lists it", at, "; ",
                            may_resume ? "add --resume to go on with its run, " : "", "move it away, ",
                            "or give another folder with --out"));
    }
  }
}

void OutputFolder::check_removal() const {
  if (!before_->files) {
    throw ConfigError(cat("--overwrite: ", path("run.json"), " does not list the files of its run (an earlier version ",
                          "wrote it); remove the folder yourself, or give another one with --out"));
  }
  for (const std::string& file : files_before_) {
    if (!is_below(file)) {
      throw ConfigError(cat("--overwrite: ", path("run.json"), " lists \"", file,
                            "\", which is not below its folder; give another folder with --out"));
    }
    inputs_.refuse_output(path(file), kAnotherFolder);
  }
}

/// What run.json lists of the whole run: a resumed one has the files of its earlier part too.
std::vector<std::string> OutputFolder::listed() const {
  std::vector<std::string> files = plan_.files;
  if (if_there_ != IfThere::kResume) { return files; }
  std::set<std::string> known(files.begin(), files.end());
  known.insert(plan_.temporary.begin(), plan_.temporary.end());
  for (const std::string& file : files_before_) {
    if (!known.contains(file)) { files.push_back(file); }
  }
  return files;
}

/// Below the run's, those of its files, the inner ones first.
std::vector<std::string> OutputFolder::folders() const {
  std::set<std::string, std::greater<>> found;
  for (const auto* files : {&plan_.files, &plan_.temporary, &files_before_}) {
    for (const std::string& file : *files) {
      for (std::string below = folder_of(file); !below.empty(); below = folder_of(below)) { found.insert(below); }
    }
  }
  return {found.begin(), found.end()};
}

/// The files, then the folders that this leaves empty; the record last, so that a removal cut short can be repeated.
void OutputFolder::remove_run_before() const {
  for (const std::string& file : files_before_) {
    std::error_code error;
    fs::remove(path(file), error);
    if (error) { throw IoError(cat("cannot remove ", path(file), ": ", error.message())); }
  }
  std::error_code not_empty;
  for (const std::string& below : folders()) { fs::remove(path(below), not_empty); }
  fs::remove(path("run.json"));
}

void OutputFolder::begin(RunRecord& record) {
  if (if_there_ == IfThere::kOverwrite && before_) { remove_run_before(); }
  begun_ = true;
  lock_.keep_folder();
  for (const std::string& file : listed()) { remove_leftovers(path(file)); }
  write_unfinished(record);
}

void OutputFolder::write_unfinished(RunRecord& record) const {
  make_folder(folder_);
  std::string made;
  for (const std::string& file : plan_.files) {
    const std::string below = folder_of(file);
    if (below != made) { make_folder(path(below)); }
    made = below;
  }
  interruption_point();
  std::vector<std::string> files = listed();
  files.insert(files.end(), plan_.temporary.begin(), plan_.temporary.end());
  record.set_files(std::move(files));
  record.write_unfinished(folder_);
}

void OutputFolder::add(RunRecord& record, const std::string& file) {
  if (std::find(plan_.files.begin(), plan_.files.end(), file) != plan_.files.end()) { return; }
  inputs_.refuse_output(path(file), kAnotherFolder);
  plan_.files.push_back(file);
  write_unfinished(record);
}

void OutputFolder::finish(RunRecord& record) {
  record.set_files(listed());
  record.write(folder_);
  finished_ = true;
}

bool OutputFolder::has_files() const {
  for (const auto* files : {&plan_.files, &plan_.temporary, &files_before_}) {
    for (const std::string& file : *files) {
      if (is_there(path(file))) { return true; }
    }
  }
  return false;
}

}  // namespace terrace
