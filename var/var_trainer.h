// Teacher-forcing training of the transformer on cached tokens.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/optim.h"
#include "nn/schedule.h"
#include "var/transformer.h"

namespace terrace {

/// Tokens of a set of images, and how token indices become the transformer's input.
struct VarTrainingData {
  Tensor indices;                                      // (N, L) i64, all scales concatenated
  Tensor labels;                                       // (N) i64
  Tensor held_out_indices;                             // (M, L), may be undefined
  Tensor held_out_labels;                              // (M)
  std::function<Tensor(const Tensor& indices)> embed;  // (B, L) i64 -> (B, L-1, Cvae): Quantizer::idx_to_var_input
};

struct VarTrainOptions {
  int64_t steps = 1000;
  int64_t batch = 32;      // images per step
  int64_t accumulate = 1;  // slices that a batch is computed in
  double lr = 1e-3;        // peak
  double weight_decay = 0.05;
  double weight_decay_end = -1;  // negative: as weight_decay
  std::string schedule = "lin0";
  double warmup_share = 0.02;   // of the steps
  double warmup_start = 0.005;  // x lr
  double final_lr = 0.1;        // x lr
  double beta1 = 0.9, beta2 = 0.95;
  double clip = 2.0;  // global gradient norm; 0: off
  double label_smoothing = 0;
  Recompute recompute = Recompute::kNothing;
  uint64_t seed = 0;              // order of the data, dropout, dropped labels and paths
  int64_t log_every = 10;         // steps between records
  int64_t evaluate_every = 0;     // steps between held-out losses (0: at the end only)
  int64_t evaluate_images = 256;  // of the held-out set
  int64_t checkpoint_every = 0;   // 0: at the end only
  std::string checkpoint_path;    // empty: none are written
};

/// One row of the log.
struct VarStepRecord {
  int64_t step = 0;  // steps done
  double epoch = 0;
  double loss = 0, accuracy = 0;  // means over tokens of this step
  std::vector<double> scale_loss, scale_accuracy;
  double lr = 0, weight_decay = 0, gradient_norm = 0;
  std::vector<double> position_gradient;          // (L) norm over channels of the gradient of what the encoding adds
  std::vector<double> scale_gradient;             // (S) the same per scale
  double start_gradient = 0, level_gradient = 0;  // pos_start's, lvl_embed's
  double held_out_loss = -1, held_out_accuracy = -1;  // negative: not measured at this step
  std::vector<double> held_out_scale_loss;
  double seconds_per_step = 0;  // since the last record; not in checkpoints
  int64_t peak_bytes = 0;       // of tensors; not in checkpoints
};

struct VarTrainCallbacks {
  std::function<void(const VarStepRecord&)> record;                        // every log_every steps
  std::function<void(int64_t done, int64_t steps, double loss)> progress;  // every step; may throw Interrupted
  std::function<void(int64_t done, VarTransformer&)> evaluate;             // at every evaluate_every and at the end
};

struct HeldOut {
  double loss = 0, accuracy = 0;
  std::vector<double> scale_loss, scale_accuracy;
};

class VarTrainer {
 public:
  /// Throws ConfigError, ShapeError where data and model do not fit.
  VarTrainer(VarTransformer& model, const VarTrainingData& data, const VarTrainOptions& options,
             VarTrainCallbacks callbacks = {});

  /// Runs to options.steps from where it is. Checkpoints at checkpoint_every and at the end; where `progress` throws
  /// Interrupted, the last checkpoint stands.
  void run();
  VarStepRecord step();  // one step (nothing is logged or written)
  HeldOut evaluate();    // held-out loss in eval mode
  void save(const std::string& path);
  void resume(const std::string& path);  // bit-identical to never having stopped; throws IoError, ConfigError
  int64_t steps_done() const { return step_; }
  const std::vector<VarStepRecord>& log() const { return log_; }

 private:
  struct Sums;
  std::vector<int64_t> batch_rows(int64_t step) const;
  Variable slice_loss(const Tensor& indices, const Tensor& labels, Sums& sums);
  void observe_tables(VarStepRecord& record);
  void write_log(class Hdf5File& file) const;
  void read_log(const class Hdf5File& file);

  VarTransformer& model_;
  VarTrainingData data_;
  VarTrainOptions options_;
  VarTrainCallbacks callbacks_;
  AdamW optimizer_;
  Schedule schedule_;
  Generator generator_;  // in default_generator() while a step runs
  int64_t step_ = 0;
  std::map<std::string, Tensor> initial_tables_;
  std::vector<double> position_gradient_;  // squares, of the step under way
  std::vector<VarStepRecord> log_;
};

}  // namespace terrace
