// Trains the tokenizer.
//
// Loss = MSE + l1_weight |x - x'| + edge_weight |grad x - grad x'| + vq_weight * vq_loss, with AdamW, warm-up, cosine
// decay and clipping. What keeps a multi-scale codebook alive: the codes start from k-means over the residuals of the
// first images, and a code that no scale has used for `revive_after` steps is moved to where the residuals of the
// present batch are represented worst.
//
// Every draw depends on (seed, step) alone, so a run that was stopped and resumed equals the uninterrupted one bit for
// bit on the same machine and thread count.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "var/tokenizer/vqvae.h"
#include "var/training/step_record.h"
#include "var/training/training_loop.h"
#include "var/training/vqvae_train_options.h"

namespace terrace {

struct VqvaeTrainCallbacks {
  std::function<void(const VqvaeStepRecord&)> record;  // every log_every steps, and after every evaluation
  TrainProgress progress;
  /// After every evaluation, before its record; may use the model, and fill in frechet_distance.
  std::function<void(VqvaeEvaluation&, Vqvae&)> evaluate;
  std::function<void()> before_checkpoint;
  TrainPlan plan;
};

class VqvaeTrainer {
 public:
  /// `held_out` may be null: nothing is evaluated. The model outlives the trainer. Throws ConfigError where options,
  /// model and data do not fit.
  VqvaeTrainer(Vqvae& model, const ImageDataset& train, const ImageDataset* held_out, const VqvaeTrainOptions& options,
               VqvaeTrainCallbacks callbacks = {});
  ~VqvaeTrainer();

  /// Runs to options.steps, or as the plan says, from where it is. Checkpoints at checkpoint_every and at the end.
  /// Where `progress` or `evaluate` throws, a checkpoint of the finished step is written first; an evaluation that
  /// threw is made up where that checkpoint is resumed, before the first step, and the step's record, which had none,
  /// is called back again with it.
  void run();
  VqvaeStepRecord step();      // one step; nothing is logged or written
  VqvaeEvaluation evaluate();  // in eval mode, with the averaged weights where there are some
  void save(const std::string& path) const;
  /// Another number of steps than the file's makes the rest of the schedule that of the new number. Throws IoError;
  /// ConfigError naming the options that differ, or where the file has more steps than there are to be.
  void resume(const std::string& path);
  int64_t steps_done() const;
  const std::vector<VqvaeStepRecord>& log() const;
  const std::vector<VqvaeEvaluation>& evaluations() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terrace
