// Trains the tokenizer.
//
// Loss = MSE + l1_weight |x - x'| + edge_weight |grad x - grad x'| + vq_weight * vq_loss, with AdamW, warm-up, cosine
// decay and clipping. What keeps a multi-scale codebook alive: the codes start from k-means over the first batch's
// residuals, and a code that no scale has used for `revive_after` steps is re-seeded from the current residuals.
//
// Every draw depends on (seed, step) alone, so a run that was stopped and resumed equals the uninterrupted one bit for
// bit on the same machine and thread count.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "var/vqvae.h"

namespace terrace {

struct VqvaeTrainerConfig {
  int64_t steps = 1500;
  int64_t batch = 32;
  double lr = 1e-3;
  double final_lr_ratio = 0.05;  // of lr, at the last step (cosine)
  int64_t warmup = 50;           // steps, linear from 0
  double beta1 = 0.9, beta2 = 0.95;
  double weight_decay = 1e-4;
  double clip = 1.0;  // global gradient norm; 0: none
  double l1_weight = 0;
  double edge_weight = 0;
  double vq_weight = 1;
  double ema_decay = 0;          // of the weights that are evaluated and stored; 0: none
  int64_t init_iterations = 8;   // k-means rounds on the first batch; 0: codes keep their random start
  int64_t revive_after = 60;     // steps without a hit; 0: never
  int64_t checkpoint_every = 0;  // steps; 0: only at the end
  int64_t evaluate_every = 0;    // steps; 0: only at the end
  int64_t log_every = 10;
  int64_t held_out = 256;  // images of the held-out set that are evaluated
  uint64_t seed = 0;
  int64_t workers = 1;               // prefetching threads
  std::filesystem::path checkpoint;  // where checkpoints go; empty: none are written
};

/// What one step did.
struct VqvaeStep {
  int64_t step = 0;  // 1 after the first
  double loss = 0, mse = 0, l1 = 0, edge = 0, vq_loss = 0;
  double psnr = 0;  // of this batch, in training mode
  double lr = 0, grad_norm = 0, seconds = 0;
  int64_t revived = 0;             // codes re-seeded in this step
  std::vector<double> usage;       // per scale: share of the codes hit since the last report
  std::vector<double> perplexity;  // per scale: exp(entropy) of the codes in this batch
};

struct VqvaeEvaluation {
  int64_t step = 0;
  int64_t images = 0;
  double mse = 0, psnr = 0;               // psnr of the mean squared error over all images (clamped to [-1, 1])
  std::vector<double> usage, perplexity;  // per scale over the held-out images
  double codes_used = 0;                  // share of the codebook that any scale used
};

/// Called by run(); all optional. `evaluated` is where a study hands its own evaluation in: it may use the model.
struct VqvaeTrainerCallbacks {
  std::function<void(const VqvaeStep&)> step;
  std::function<void(const VqvaeEvaluation&, Vqvae&)> evaluated;
  std::function<void(const std::filesystem::path&)> checkpointed;
  std::function<bool()> stop;  // asked after every step; true: writes a checkpoint and returns
};

class VqvaeTrainer {
 public:
  /// The datasets and the model outlive the trainer. `held_out` may be null: then evaluate() uses the training set.
  VqvaeTrainer(Vqvae& model, const ImageDataset& train, const ImageDataset* held_out, const VqvaeTrainerConfig& config);
  ~VqvaeTrainer();

  VqvaeStep step();
  VqvaeEvaluation evaluate();
  /// Steps until config.steps, with checkpoints, evaluations and callbacks. False where `stop` ended it earlier.
  bool run(const VqvaeTrainerCallbacks& callbacks = {});
  int64_t steps_done() const;

  /// Model, optimizer, EMA, loader position, hit counters and configuration, in one HDF5 file.
  void save(const std::filesystem::path& path) const;
  void load(
      const std::filesystem::path& path);  // throws ConfigError where the configuration differs in what training does

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Loads the model alone (its EMA weights where the run kept them), for programs that use a trained tokenizer.
std::unique_ptr<Vqvae> load_vqvae(const std::filesystem::path& path);

}  // namespace terrace
