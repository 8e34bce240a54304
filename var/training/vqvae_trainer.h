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

namespace terrace {

struct VqvaeTrainOptions {
  int64_t steps = 1500;
  int64_t batch = 16;
  double lr = 4e-3;        // peak
  double final_lr = 0.05;  // x lr, at the last step (cosine)
  int64_t warmup = 50;     // steps, linear from 0
  double beta1 = 0.9, beta2 = 0.95;
  double weight_decay = 1e-4;
  double clip = 1.0;  // global gradient norm; 0: off
  double l1_weight = 0;
  double edge_weight = 0;
  double vq_weight = 1;
  double ema_decay = 0;           // of the weights that are evaluated and stored beside the others; 0: off
  int64_t init_iterations = 8;    // k-means rounds; 0: codes keep their random start
  int64_t revive_after = 60;      // steps without a hit; 0: never
  uint64_t seed = 0;              // order of the data, start of the codes, their revival, dropout
  int workers = 1;                // prefetching threads
  int64_t log_every = 10;         // steps between records
  int64_t evaluate_every = 0;     // steps between evaluations (0: at the end only)
  int64_t evaluate_images = 256;  // of the held-out set; 0: none, no evaluation
  int64_t checkpoint_every = 0;   // 0: at the end only
  std::string checkpoint_path;    // empty: none are written
};

/// One row of the log. Losses are means over the steps since the last record.
struct VqvaeStepRecord {
  int64_t step = 0;  // steps done
  double loss = 0, mse = 0, l1 = 0, edge = 0, vq_loss = 0;
  double psnr = 0;  // from mse
  double lr = 0, gradient_norm = 0;
  int64_t revived = 0;                    // codes moved since the last record
  std::vector<double> usage, perplexity;  // per scale, of the moving average of hits
  double codes_used = 0;                  // share of the codebook that some scale uses
  double seconds_per_step = 0;            // since the last record; not in checkpoints
};

struct VqvaeEvaluation {
  int64_t step = 0, images = 0;
  double mse = 0, psnr = 0;               // of clamped reconstructions; psnr of the mean squared error
  std::vector<double> usage, perplexity;  // per scale, over these images
  double codes_used = 0;
};

struct VqvaeTrainCallbacks {
  std::function<void(const VqvaeStepRecord&)> record;                      // every log_every steps
  std::function<void(int64_t done, int64_t steps, double loss)> progress;  // every step; may throw Interrupted
  std::function<void(const VqvaeEvaluation&, Vqvae&)> evaluate;            // after every evaluation; may use the model
};

class VqvaeTrainer {
 public:
  /// `held_out` may be null: nothing is evaluated. The model outlives the trainer. Throws ConfigError where options,
  /// model and data do not fit.
  VqvaeTrainer(Vqvae& model, const ImageDataset& train, const ImageDataset* held_out, const VqvaeTrainOptions& options,
               VqvaeTrainCallbacks callbacks = {});
  ~VqvaeTrainer();

  /// Runs to options.steps from where it is. Checkpoints at checkpoint_every and at the end. Where `progress` throws,
  /// a checkpoint of the finished step is written first.
  void run();
  VqvaeStepRecord step();      // one step; nothing is logged or written
  VqvaeEvaluation evaluate();  // in eval mode, with the averaged weights where there are some
  void save(const std::string& path) const;
  void resume(const std::string& path);  // throws IoError, ConfigError naming the option that differs
  int64_t steps_done() const;
  const std::vector<VqvaeStepRecord>& log() const;
  const std::vector<VqvaeEvaluation>& evaluations() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace terrace
