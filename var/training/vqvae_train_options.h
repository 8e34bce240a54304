// The options of VqvaeTrainer.
#pragma once

#include <cstdint>
#include <string>

#include "var/training/option_table.h"

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
  bool keep_codes = false;        // the model's codes are trained ones: they keep their start
  int64_t revive_after = 60;      // steps without a hit; 0: never
  uint64_t seed = 0;              // order of the data, start of the codes, their revival, dropout
  int workers = 1;                // prefetching threads
  int64_t log_every = 10;         // steps between records
  int64_t evaluate_every = 0;     // steps between evaluations (0: at the end only)
  int64_t evaluate_images = 256;  // of the held-out set; 0: none, no evaluation
  int64_t checkpoint_every = 0;   // 0: at the end only
  std::string checkpoint_path;    // empty: none are written
};

/// What decides the course of a training: a checkpoint is resumed only where all of it agrees, but for steps.
inline constexpr OptionField<VqvaeTrainOptions> kVqvaeTrainFields[] = {
    {"steps", &VqvaeTrainOptions::steps, kNotNegative},
    {"batch", &VqvaeTrainOptions::batch, kPositive},
    {"lr", &VqvaeTrainOptions::lr, kPositive},
    {"final_lr", &VqvaeTrainOptions::final_lr},
    {"warmup", &VqvaeTrainOptions::warmup},
    {"beta1", &VqvaeTrainOptions::beta1},
    {"beta2", &VqvaeTrainOptions::beta2},
    {"weight_decay", &VqvaeTrainOptions::weight_decay},
    {"clip", &VqvaeTrainOptions::clip},
    {"l1_weight", &VqvaeTrainOptions::l1_weight, kAnyValue, Stored::kAlways, "l1"},
    {"edge_weight", &VqvaeTrainOptions::edge_weight, kAnyValue, Stored::kAlways, "edge"},
    {"vq_weight", &VqvaeTrainOptions::vq_weight, kAnyValue, Stored::kAlways, "vq"},
    {"ema_decay", &VqvaeTrainOptions::ema_decay, kShareBelowOne, Stored::kAlways, "ema"},
    {"init_iterations", &VqvaeTrainOptions::init_iterations},
    {"revive_after", &VqvaeTrainOptions::revive_after},
    {"seed", &VqvaeTrainOptions::seed}};

inline constexpr ModelOption kVqvaeModelOptions[] = {{"ch_mult", "ch-mult"},
                                                     {"num_res_blocks", "num-res-blocks"},
                                                     {"z_channels", "z-channels"},
                                                     {"vocab_size", "vocab"},
                                                     {"patch_nums", "patch-nums"},
                                                     {"norm_groups", "norm-groups"},
                                                     {"share_quant_resi", "share-quant-resi"},
                                                     {"quant_resi", "quant-resi"},
                                                     {"using_znorm", "znorm"},
                                                     {"using_sa", "attention"},
                                                     {"using_mid_sa", "middle-attention"}};

/// Of the step after `step` done ones: linear warm-up to lr, then half a cosine to final_lr x lr at the last step.
double learning_rate(const VqvaeTrainOptions& options, int64_t step);

}  // namespace terrace
