// Teacher-forcing training of the transformer on cached tokens.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nn/optim.h"
#include "nn/schedule.h"
#include "tensor/communicator.h"
#include "var/tokenizer/quantizer.h"
#include "var/training/data_order.h"
#include "var/training/micro_batches.h"
#include "var/training/recorded_step.h"
#include "var/training/scale_statistics.h"
#include "var/training/step_record.h"
#include "var/training/training_loop.h"
#include "var/training/var_train_options.h"
#include "var/transformer/transformer.h"

namespace terrace {

/// Tokens of a set of images, and the quantizer whose codes they are.
struct VarTrainingData {
  Tensor indices;                        // (N, L) i64, all scales concatenated
  Tensor labels;                         // (N) i64
  Tensor held_out_indices;               // (M, L), may be undefined
  Tensor held_out_labels;                // (M)
  std::vector<std::string> class_names;  // kept in checkpoints; may be empty
  std::string tokenizer_hash;            // likewise
  const Quantizer* quantizer = nullptr;  // makes the transformer's input of indices; outlives the trainer
};

struct VarTrainCallbacks {
  std::function<void(const VarStepRecord&)> record = {};  // every log_every steps
  TrainProgress progress = {};
  /// At every evaluate_every and at the end, before `record`, whose frechet_distance it may fill in.
  std::function<void(VarStepRecord&, VarTransformer&)> evaluate = {};
  /// After every batch of the held-out loss of a step; may throw to interrupt, as `evaluate` may.
  std::function<void(int64_t step, int64_t images, int64_t of)> held_out_progress = {};
  std::function<void()> before_checkpoint = {};
  TrainPlan plan = {};  // of rank 0; with options.planned
};

class VarTrainer {
 public:
  /// The model outlives the trainer, and so do `ranks`. With these, each rank computes its share of a batch's
  /// micro-batches, and gradients and statistics are added: all ranks have the same weights and records. Draws depend
  /// on (seed, step, micro-batch), so that ranks train as one process with as many micro-batches does, to the same bits
  /// where each rank has one. Rank 0 alone writes checkpoints; every rank evaluates all that is held out. Throws
  /// ConfigError, ShapeError, IndexError where data, options and model do not fit.
  VarTrainer(VarTransformer& model, const VarTrainingData& data, const VarTrainOptions& options,
             VarTrainCallbacks callbacks = {}, Communicator* ranks = nullptr);

  /// Trains to options.steps, or as the plan says, from where it is. A record, and the callbacks, after the first step,
  /// every log_every, and wherever the held-out loss is due. Where `progress` or `evaluate` throws, a checkpoint of the
  /// finished step is written first; an evaluation that threw is made up where that checkpoint is resumed, before the
  /// first step, and the step's record, which had none, is called back again with it.
  void run();
  /// One step. Accuracies and the tables' gradients are measured where `detail` asks.
  enum class Detail : uint8_t { kLoss, kAll };
  VarStepRecord step(Detail detail = Detail::kAll);
  /// Held-out loss, in eval mode, over all held-out images or `evaluate_images` of them; needs held-out tokens.
  enum class HeldOutPart : uint8_t { kSome, kAll };
  HeldOut evaluate(HeldOutPart part = HeldOutPart::kAll);
  void save(const std::string& path) const;
  /// Continues bit-identically to never having stopped; with another number of steps than the file's, the rest of the
  /// schedules is that of the new number. Throws IoError; ConfigError where the file's model, options or tokens are not
  /// these, naming what differs, or where it has more steps than there are to be.
  void resume(const std::string& path);
  int64_t steps_done() const { return step_; }
  /// Why options.graphs could not be had: "copying to the host cannot be recorded"; empty where recording was not
  /// tried or succeeded.
  const std::string& not_recorded() const { return recorded_step_.reason(); }
  const std::vector<VarStepRecord>& log() const { return log_; }

 private:
  /// A step's batch where the model is, in the same memory at every step.
  struct StepBuffers {
    Tensor host_indices;            // (batch, L) i64, on the CPU
    Tensor indices, labels, input;  // (batch, L) i64, (batch) i64, (batch, L-n_0, Cvae) f32
    Tensor key;                     // of the step's draws
  };
  // var_step.cpp
  Generator draws() const;
  void load_batch(const std::vector<int64_t>& rows);
  Variable forward_loss(const Tensor& indices, const Tensor& labels, const Tensor& input, double smoothing,
                        Detail detail, TokenLosses& tokens);
  std::vector<TokenLosses> launch_micro_batches(Detail detail);
  void add_gradients_of_ranks();
  bool is_recorded();
  std::vector<TokenLosses> run_step(Detail detail, VarStepRecord& record);
  void measure(const std::vector<TokenLosses>& tokens, Detail detail, VarStepRecord& record);
  void observe_tables(VarStepRecord& record) const;

  void measure_held_out(HeldOutPart part, VarStepRecord& record);
  void evaluate_step(VarStepRecord& record);
  void make_up_evaluation();
  int64_t planned_steps();
  void set_steps(int64_t steps);
  void save_checkpoint() const;
  State position_tables() const;
  std::string data_hash() const;

  VarTransformer& model_;
  VarTrainingData data_;
  VarTrainOptions options_;
  VarTrainCallbacks callbacks_;
  AdamW optimizer_;
  ComputeCopies copies_;  // of nothing for f32
  Schedule schedule_;
  DataOrder order_;
  int64_t step_ = 0;
  State initial_tables_;
  Tensor position_gradient_;  // (l, C), of the step under way
  std::vector<VarStepRecord> log_;
  bool evaluation_due_ = false;            // of the last record, whose evaluation threw
  Communicator* ranks_;                    // null where this process is alone
  std::vector<MicroBatch> micro_batches_;  // that this process computes
  RecordedStep recorded_step_;
  StepBuffers buffers_;
  std::vector<TokenLosses> recorded_tokens_;  // of the recorded step, for each micro-batch; every replay writes them
};

}  // namespace terrace
