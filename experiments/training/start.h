// Where a run of a trainer begins, where it goes on, and how long it is to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "experiments/cli/options.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/stored_run.h"
#include "tensor/base/error.h"
#include "var/tokenizer/vqvae.h"
#include "var/training/stored_position.h"
#include "var/training/time_budget.h"
#include "var/training/training_loop.h"
#include "var/transformer/transformer.h"

namespace terrace {

struct StartOptions {
  bool resume = false, overwrite = false;
  std::string init_from;
  double minutes = 0;

  /// --init-from --resume --overwrite, and --minutes.
  void declare(Options& options);
  void declare_minutes(Options& options);
  /// Of a run that is resumed, which goes on from its own checkpoint: takes the --init-from of its run.json, where
  /// there is one that has it. Throws ConfigError where another is given.
  void keep_init_from(const std::optional<StoredRun>& run);
};

/// The number of steps of a run: that of --steps, that of the checkpoint to resume, or as many as --minutes allows.
class RunLength {
 public:
  /// `steps` comes in as the value of --steps, given or not, and leaves as what the trainer begins with. Throws
  /// ConfigError where there is no checkpoint to resume.
  RunLength(const StartOptions& start, bool steps_given, const std::string& checkpoint, int64_t& steps);

  /// Whether the checkpoint has all the steps that are asked for.
  bool is_complete(int64_t steps) const { return stored_ && !is_planned() && stored_->step == steps; }
  /// Whether the time decides the steps.
  bool is_planned() const { return budget_ && !steps_given_; }
  /// For the trainer; empty without --minutes.
  TrainPlan plan();
  /// The configuration for run.json, with the steps that are in effect: none where the time decides, so that a run
  /// repeated from its record is planned too.
  Json recorded(const Options& options, int64_t steps) const;

  /// One line, once, when it is known: what another number of steps than the checkpoint's does to the learning rate, or
  /// how many steps were planned and what that does; "" otherwise. `options`: the trainer's; `done`: of `steps`.
  template <class TrainOptions>
  std::string announce(TrainOptions options, int64_t done, int64_t steps) {
    if (!is_due()) { return ""; }
    announced_ = true;
    const std::string planned = planned_text(steps);
    if (!stored_ || stored_->steps == steps || stored_->step == 0) { return planned; }
    const auto rate = [&](int64_t all, int64_t step) {
      options.steps = all;
      return format_number(learning_rate(options, step));
    };
    const std::string length =
        planned.empty() ? cat("steps = ", steps, ", not ", stored_->steps, " as before") : planned;
    return cat(length, ": the rest of the learning-rate schedule is recomputed, the rate goes from ",
               rate(stored_->steps, stored_->step - 1), " at step ", stored_->step, " to ", rate(steps, done),
               " at step ", done + 1);
  }
  /// What to say of a run that the time cut; "" of any other.
  std::string stopped(int64_t done, int64_t steps) const;

 private:
  bool is_due() const;
  std::string planned_text(int64_t steps) const;

  bool steps_given_, announced_ = false;
  double minutes_;
  std::optional<StoredPosition> stored_;
  std::optional<TimeBudget> budget_;
};

/// "interrupted after step 722; add --resume to the same command to go on", with `during` before "after".
std::string interrupted_text(const char* during, int64_t step);

/// "step 722 of 1500": how far the training in a checkpoint is; "" where there is none.
std::string reached(const std::string& checkpoint);
/// Whether the run.json in a folder says that its run ended after so many steps.
bool has_ended(const std::string& folder, int64_t steps);
/// "nothing is left to do: ..." of a run that has all its steps.
std::string nothing_left(const std::string& checkpoint, int64_t steps);

/// Does what follows step `step`; an Interrupted then says that step and how to go on from its checkpoint. `during`:
/// "in the evaluation ", or "".
template <class F>
void interruptible(const char* during, int64_t step, const F& f) {
  try {
    f();
  } catch (const Interrupted&) { throw Interrupted(interrupted_text(during, step)); }
}

/// Runs a training; an Interrupted in the middle of a step then says the last whole step and how to go on from its
/// checkpoint.
template <class Trainer>
void run_interruptibly(Trainer& trainer) {
  try {
    trainer.run();
  } catch (const Interrupted& e) {
    if (std::string(e.what()).find("--resume") != std::string::npos) { throw; }
    if (trainer.steps_done() == 0) { throw Interrupted(cat(e.what(), " before the first step was done")); }
    throw Interrupted(interrupted_text("", trainer.steps_done()));
  }
}

/// The weights of --init-from: those of a checkpoint, of the run in a folder, or of a file in any format that
/// var/weights reads; of a tokenizer's checkpoint the averaged ones, where it has some. Throws IoError; ConfigError
/// that names all that does not fit the model.
void load_initial_weights(const std::string& path, Vqvae& model);
/// `tokenizer_hash` is of the tokenizer whose tokens the model is to be trained on; a note on stderr tells where the
/// weights were trained on those of another.
void load_initial_weights(const std::string& path, VarTransformer& model, const std::string& tokenizer_hash);

/// "samples-000500.png": a picture of a run, by the step that it was made at.
std::string step_file(const std::string& name, int64_t step);

}  // namespace terrace
