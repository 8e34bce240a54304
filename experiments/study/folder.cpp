#include "experiments/study/folder.h"

#include <filesystem>
#include <set>

#include "tensor/base/error.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunFiles[] = {"checkpoint.h5", "costs.json", "result.h5"};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The files of runs that are there. A run of a study has its costs or its result; a trainer's folder has neither.
std::set<std::string> run_files_in(const fs::path& folder) {
  std::set<std::string> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder / "runs", ignored)) {
    if (!is_there(entry.path() / "costs.json") && !is_there(entry.path() / "result.h5")) { continue; }
    for (const char* file : kRunFiles) {
      if (is_there(entry.path() / file)) { found.insert(cat("runs/", entry.path().filename().string(), "/", file)); }
    }
  }
  return found;
}

}  // namespace

OutputPlan study_output(const StudyConfig& config, const Options& options) {
  OutputPlan plan{.program = "pe_study",
                  .files = {"study.json", "report.html", "results.json", "curves.csv", "tokens_train.h5",
                            "tokens_held_out.h5", "tokenizer_result.h5"},
                  .inputs = options.inputs()};
  if (config.data.empty()) { plan.files.emplace_back("data.h5"); }
  if (config.tokenizer.empty()) { plan.files.insert(plan.files.end(), {"tokenizer.h5", "tokenizer_costs.json"}); }
  std::set<std::string> runs;
  if (study_if_there(config) == IfThere::kResume) { runs = run_files_in(config.common.out); }
  for (const uint64_t seed : config.seeds) {
    for (const std::string& encoding : config.encodings) {
      for (const char* file : kRunFiles) { runs.insert(cat("runs/", encoding, "-seed", seed, "/", file)); }
    }
  }
  plan.files.insert(plan.files.end(), runs.begin(), runs.end());
  return plan;
}

IfThere study_if_there(const StudyConfig& config) {
  const fs::path folder = config.common.out;
  const bool goes_on = !config.overwrite && (is_there(folder / "study.json") || is_there(folder / "run.json"));
  return if_there(goes_on, config.overwrite);
}

}  // namespace terrace
