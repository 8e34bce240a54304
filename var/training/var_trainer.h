// Teacher-forcing training of the transformer on cached tokens.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/optim.h"
#include "nn/schedule.h"
#include "tensor/communicator.h"
#include "var/tokenizer/quantizer.h"
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

struct VarTrainOptions {
  int64_t steps = 1000;
  int64_t batch = 32;      // images per step
  int64_t accumulate = 1;  // slices that a batch is computed in; with ranks a multiple of their number
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
  /// kF32 or kBF16: what products, attention and activations from the first block to the head are computed in. Under
  /// bf16 the weights and their moments stay f32, as do checkpoints; products take bf16 copies that every step makes
  /// anew. Sums, the statistics of softmax and norms, the logits, the loss and the gradients that are kept are f32.
  DType dtype = DType::kF32;
  /// On a device, record the launches of a step once (tensor/device/device_graph.h) and replay them: the same bits. Steps of
  /// Detail::kAll are launched as ever, and all are where a step cannot be recorded.
  bool graphs = true;
  uint64_t seed = 0;              // order of the data, dropout, dropped labels and paths
  int64_t log_every = 10;         // steps between records
  int64_t evaluate_every = 0;     // steps between held-out losses (0: at the end only)
  int64_t evaluate_images = 256;  // of the held-out set, before the end: for the curve (0: all; at the end always all)
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
  int64_t held_out_images = 0;                        // that these are means over
  std::vector<double> held_out_scale_loss;
  double seconds_per_step = 0;  // since the last record; not in checkpoints: 0 where the record was read from one
  int64_t peak_bytes = 0;       // of tensors; likewise
};

struct VarTrainCallbacks {
  std::function<void(const VarStepRecord&)> record = {};                        // every log_every steps
  std::function<void(int64_t done, int64_t steps, double loss)> progress = {};  // every step; may throw Interrupted
  std::function<void(int64_t done, VarTransformer&)> evaluate = {};  // at every evaluate_every and at the end
};

/// Means over held-out tokens, without label smoothing.
struct HeldOut {
  int64_t images = 0;
  double loss = 0, accuracy = 0;
  std::vector<double> scale_loss, scale_accuracy;
};

/// JSON of the options that the course of training depends on; a run is resumed with the same ones only.
std::string to_text(const VarTrainOptions& options);

class VarTrainer {
 public:
  /// The model outlives the trainer, and so do `ranks`. With these, each rank computes its share of a batch's slices,
  /// and gradients and figures are added: all ranks have the same weights and records. Draws depend on (seed, step,
  /// slice), so that ranks train as one process with as many slices does, to the same bits where each rank has one
  /// slice. Rank 0 alone writes checkpoints; every rank evaluates all that is held out. Throws ConfigError, ShapeError,
  /// IndexError where data, options and model do not fit.
  VarTrainer(VarTransformer& model, const VarTrainingData& data, const VarTrainOptions& options,
             VarTrainCallbacks callbacks = {}, Communicator* ranks = nullptr);
  ~VarTrainer();

  /// Trains to options.steps from where it is. A record, and the callbacks, after the first step, every log_every, and
  /// wherever the held-out loss is due. Where `progress` throws, a checkpoint of the finished step is
  /// written first.
  void run();
  /// One step. Accuracies and the tables' gradients are measured where `detail` asks.
  enum class Detail : uint8_t { kLoss, kAll };
  VarStepRecord step(Detail detail = Detail::kAll);
  /// Held-out loss, in eval mode, over all held-out images or `evaluate_images` of them; needs held-out tokens.
  enum class HeldOutPart : uint8_t { kSome, kAll };
  HeldOut evaluate(HeldOutPart part = HeldOutPart::kAll);
  void save(const std::string& path) const;
  /// Continues bit-identically to never having stopped. Throws IoError; ConfigError where the file's model, options or
  /// tokens are not these.
  void resume(const std::string& path);
  int64_t steps_done() const { return step_; }
  /// Why options.graphs could not be had: "copying to the host cannot be recorded"; empty before it was tried and where
  /// steps are replayed.
  std::string not_recorded() const;
  const std::vector<VarStepRecord>& log() const { return log_; }
  const State& initial_tables() const { return initial_tables_; }

 private:
  struct Sums;
  std::vector<int64_t> batch_rows(int64_t step);
  struct Shown;
  struct Work;
  struct Slice {
    int64_t begin, end;
  };
  Slice slice(int64_t index) const;
  Slice own_slices() const;
  Generator draws() const;
  void add_gradients_of_ranks();
  void add_figures_of_ranks(Sums& sums);
  void load_batch(const std::vector<int64_t>& rows);
  Variable slice_loss(const Tensor& indices, const Tensor& labels, const Tensor& input, double smoothing, Detail detail,
                      Shown& shown);
  std::vector<Shown> launch_slices(Detail detail);
  bool is_recorded();
  std::vector<Shown> run_step(Detail detail, VarStepRecord& record);
  void observe_tables(VarStepRecord& record) const;
  void check_data() const;
  void save_checkpoint() const;
  void report_progress(double loss) const;
  State tables() const;
  std::string data_hash() const;

  VarTransformer& model_;
  VarTrainingData data_;
  VarTrainOptions options_;
  VarTrainCallbacks callbacks_;
  AdamW optimizer_;
  ComputeCopies copies_;  // of nothing for f32
  Schedule schedule_;
  int64_t step_ = 0;
  int64_t epoch_ = -1;  // whose order is in `order_`
  std::vector<int64_t> order_;
  State initial_tables_;
  Tensor position_gradient_;  // (l, C), of the step under way
  std::vector<VarStepRecord> log_;
  Communicator* ranks_;  // null where this process is alone
  std::unique_ptr<Work> work_;
};

}  // namespace terrace
