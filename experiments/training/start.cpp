#include "experiments/training/start.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "experiments/cli/output_folder.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

constexpr double kAnnounceAfter = 0.05;  // of --minutes: the first plans are of a few steps

std::string canonical(const std::string& path) {
  std::error_code unknown;
  return std::filesystem::weakly_canonical(path, unknown).string();
}

}  // namespace

void StartOptions::declare_minutes(Options& options) {
  options
      .add(
          "minutes", minutes,
          "wall-clock minutes that this call trains, 0 for any. Without --steps, as many steps as fit are planned "
          "while "
          "it runs, and the schedules end with the time: results then depend on the machine. With --steps the training "
          "stops when the time is over, and --resume goes on")
      .range(0, kMaxMinutes);
}

void StartOptions::declare(Options& options) {
  options
      .add("init-from", init_from,
           "weights to start from, in place of random ones: a checkpoint, the folder of a run, or official weights "
           "(.pth, .safetensors, .npz); steps and optimizer begin anew")
      .metavar("FILE|FOLDER")
      .input()
      .default_text("random");
  options
      .add("resume", resume,
           "go on from OUT/checkpoint.h5 with the same options; another --steps makes the run longer or shorter, and "
           "the rest of the learning-rate schedule is recomputed; without --steps those of the checkpoint")
      .unrecorded();
  declare_overwrite(options, overwrite);
}

void StartOptions::keep_init_from(const std::optional<StoredRun>& run) {
  if (!resume || !run || !run->configuration.contains("init-from")) { return; }
  const auto before = run->configuration["init-from"].get<std::string>();
  if (!init_from.empty() && init_from != before && canonical(init_from) != canonical(before)) {
    throw ConfigError(cat("--init-from: the run began with ", before.empty() ? "random weights" : before, ", not ",
                          init_from, "; --resume goes on from its checkpoint: leave --init-from out"));
  }
  init_from = before;
}

RunLength::RunLength(const StartOptions& start, bool steps_given, const std::string& checkpoint, int64_t& steps)
    : steps_given_(steps_given), minutes_(start.minutes) {
  if (start.resume) {
    if (!std::filesystem::exists(checkpoint)) {
      const bool has_run = std::filesystem::exists(std::filesystem::path(checkpoint).replace_filename("run.json"));
      throw ConfigError(
          cat("--resume: ", checkpoint, " does not exist, so there is nothing to go on from; ",
              has_run ? "give --overwrite in place of --resume to begin anew" : "leave --resume out to begin a run"));
    }
    stored_ = stored_position(checkpoint);
  }
  if (!steps_given && stored_) { steps = stored_->steps; }
  if (!(minutes_ > 0)) { return; }
  // Until the first plan, which follows a few steps later, a finished run has these steps more.
  constexpr int64_t kUntilPlanned = 16;
  if (!steps_given && stored_) { steps = std::max(steps, stored_->step + kUntilPlanned); }
  budget_.emplace(60 * minutes_, steps_given ? TimeBudget::Steps::kGiven : TimeBudget::Steps::kPlanned, steps);
}

TrainPlan RunLength::plan() {
  if (!budget_) { return {}; }
  return [this](int64_t done) { return (*budget_)(done); };
}

Json RunLength::recorded(const Options& options, int64_t steps) const {
  Json configuration = options.to_json();
  configuration["steps"] = steps;
  if (is_planned()) { configuration.erase("steps"); }
  return configuration;
}

bool RunLength::is_due() const {
  if (announced_) { return false; }
  if (!is_planned()) { return stored_.has_value(); }
  return budget_->seconds_per_step() > 0 && budget_->elapsed() >= kAnnounceAfter * budget_->seconds();
}

std::string RunLength::planned_text(int64_t steps) const {
  if (!is_planned()) { return ""; }
  return cat(steps, " steps are planned for ", format_number(minutes_), " minutes, ",
             format_number(budget_->seconds_per_step()), " s a step");
}

std::string RunLength::stopped(int64_t done, int64_t steps) const {
  if (!budget_ || !budget_->is_over()) { return ""; }
  return cat("stopped after ", format_number(minutes_), " minutes at step ", done, " of ", steps,
             "; add --resume to the same command to go on");
}

std::string interrupted_text(const char* during, int64_t step) {
  return cat("interrupted ", during, "after step ", step, "; add --resume to the same command to go on");
}

std::string reached(const std::string& checkpoint) {
  const std::optional<StoredPosition> stored = stored_position(checkpoint);
  return stored ? cat("step ", stored->step, " of ", stored->steps) : "";
}

bool has_ended(const std::string& folder, int64_t steps) {
  const std::optional<StoredRun> run = stored_run(folder, "move it away");
  return run && !run->ended.empty() && run->results.value("steps", int64_t{0}) == steps;
}

std::string nothing_left(const std::string& checkpoint, int64_t steps) {
  return cat("nothing is left to do: ", checkpoint, " has all ", steps, " steps; a larger --steps goes on");
}

void load_initial_weights(const std::string& path, Vqvae& model) {
  const auto loaded = load_vqvae(path, {.patch_nums = model.config().patch_nums});
  copy_state(cat("--init-from ", path).c_str(), model.state(), loaded->state());
}

void load_initial_weights(const std::string& path, VarTransformer& model, const std::string& tokenizer_hash) {
  const LoadedTransformer loaded = load_transformer(path, {.num_heads = model.config().num_heads});
  copy_state(cat("--init-from ", path).c_str(), model.state(), loaded.model->state());
  if (!loaded.tokenizer_hash.empty() && loaded.tokenizer_hash != tokenizer_hash) {
    note(cat("--init-from ", path, " was trained on the tokens of another tokenizer"));
  }
}

std::string step_file(const std::string& name, int64_t step) {
  char number[24];
  std::snprintf(number, sizeof number, "%06lld", static_cast<long long>(step));
  return cat(name, "-", number, ".png");
}

}  // namespace terrace
