// The options of VarTrainer.
#pragma once

#include <string>

#include "nn/schedule.h"
#include "var/training/option_table.h"
#include "var/transformer/transformer.h"

namespace terrace {

struct VarTrainOptions {
  int64_t steps = 1000;
  int64_t batch = 32;      // images per step
  int64_t accumulate = 1;  // micro-batches that a batch is computed in; with ranks a multiple of their number
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
  /// On a device, record the launches of a step once (tensor/device/device_graph.h) and replay them: the same bits.
  /// Steps of Detail::kAll are launched one kernel at a time, as are all steps where recording fails.
  bool graphs = true;
  /// The number of steps follows callbacks.plan while the training runs; on every rank, where the first has the plan.
  bool planned = false;
  uint64_t seed = 0;              // order of the data, dropout, dropped labels and paths
  int64_t log_every = 10;         // steps between records
  int64_t evaluate_every = 0;     // steps between held-out losses (0: at the end only)
  int64_t evaluate_images = 256;  // of the held-out set, before the end: for the curve (0: all; at the end always all)
  int64_t checkpoint_every = 0;   // 0: at the end only
  std::string checkpoint_path;    // empty: none are written
};

/// What decides the course of a training: a checkpoint is resumed only where all of it agrees, but for steps.
/// evaluate_every, recompute, graphs, planned, checkpoint_every and checkpoint_path may differ.
inline constexpr OptionField<VarTrainOptions> kVarTrainFields[] = {
    {"steps", &VarTrainOptions::steps, kPositive},
    {"batch", &VarTrainOptions::batch, kPositive},
    {"accumulate", &VarTrainOptions::accumulate},
    {"lr", &VarTrainOptions::lr, kNotNegative},
    {"weight_decay", &VarTrainOptions::weight_decay},
    {"weight_decay_end", &VarTrainOptions::weight_decay_end},
    {"schedule", &VarTrainOptions::schedule},
    {"warmup_share", &VarTrainOptions::warmup_share, kShareBelowOne, Stored::kAlways, "warmup"},
    {"warmup_start", &VarTrainOptions::warmup_start},
    {"final_lr", &VarTrainOptions::final_lr},
    {"beta1", &VarTrainOptions::beta1},
    {"beta2", &VarTrainOptions::beta2},
    {"clip", &VarTrainOptions::clip, kNotNegative},
    {"label_smoothing", &VarTrainOptions::label_smoothing},
    {"seed", &VarTrainOptions::seed},
    {"log_every", &VarTrainOptions::log_every, kPositive},
    {"evaluate_images", &VarTrainOptions::evaluate_images},
    {"dtype", &VarTrainOptions::dtype, kAnyValue, Stored::kUnlessDefault}};

inline constexpr ModelOption kVarModelOptions[] = {{"embed_dim", "embed-dim"},
                                                   {"num_heads", "heads"},
                                                   {"mlp_ratio", "mlp-ratio"},
                                                   {"attn_l2_norm", "attn-l2-norm"},
                                                   {"shared_aln", "shared-aln"},
                                                   {"cond_drop_rate", "cond-drop"},
                                                   {"drop_path_rate", "drop-path"},
                                                   {"drop_rate", "drop"},
                                                   {"adaln_gamma_init", "gamma-init"},
                                                   {"positions.kind", "pe"},
                                                   {"positions.learned_weight", "pe-mix"},
                                                   {"positions.scale", "pe-scale"},
                                                   {"positions.rms", "pe-rms"},
                                                   {"positions.level_embedding", "level-embedding"}};

/// JSON of the options that decide the course; a run is resumed with the same ones only, but for steps.
std::string to_text(const VarTrainOptions& options);
/// Throws ConfigError: "VAR training: batch must be positive, got 0".
void check_options(const VarTrainOptions& options);
ScheduleOptions schedule_options(const VarTrainOptions& options);
/// Of the step after `step` done ones.
double learning_rate(const VarTrainOptions& options, int64_t step);

}  // namespace terrace
