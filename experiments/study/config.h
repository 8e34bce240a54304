// What a study compares: the data, one tokenizer, and a transformer per encoding and seed.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "var/config.h"
#include "var/training/var_trainer.h"
#include "var/training/vqvae_trainer.h"
#include "var/transformer/sampler.h"

namespace terrace {

struct StudyConfig {
  CommonOptions common;
  bool overwrite = false;            // the study in OUT is replaced
  double minutes = 0;                // > 0: what was not given is chosen so that the study takes about this long
  std::set<std::string> given = {};  // options that the user gave: --minutes leaves them as they are

  // Data
  std::string data;  // "": the procedural set is generated
  int64_t train_images = 4096, held_out_images = 512;

  // Tokenizer
  std::string tokenizer;  // "": one is trained
  int64_t tokenizer_steps = 1200, tokenizer_batch = 16;
  double tokenizer_lr = 4e-3;
  // Defaults of vqvae_preset32(); tokenizer_config() takes the fields that are not listed here from it.
  int64_t ch = vqvae_preset32().ch, z_channels = vqvae_preset32().z_channels, vocab = vqvae_preset32().vocab_size;
  std::vector<int64_t> ch_mult = vqvae_preset32().ch_mult, patch_nums = vqvae_preset32().patch_nums;

  // Transformers
  std::vector<std::string> encodings = {"learned", "sinusoid-2d", "mixed"};
  std::vector<uint64_t> seeds = {0};
  int64_t depth = 4, embed_dim = 128, heads = 4;
  int64_t steps = 600, batch = 16;
  double lr = 3e-3, weight_decay = 0.05;
  double pe_scale = 1, mix = 0.7;
  bool level_embedding = true;
  // Held-out losses; other values than these are chosen by --minutes alone.
  int64_t evaluate_every = 0;  // steps; 0: a twelfth of the run
  int64_t curve_images = 256;  // of a loss during training
  int64_t final_images = 0;    // of the loss at the end; 0: all

  // Samples
  int64_t samples = 16;         // per class
  int64_t sampled_classes = 0;  // 0: all; fewer are chosen by --minutes alone
  double cfg = 2.5;
  int64_t top_k = 0;
  double top_p = 0.8;
  EvaluatorOptions evaluator{.images = 512};

  void declare(Options& options);
  /// Notes which of the options that --minutes would choose were given.
  void note_given(const Options& options);
  /// Throws ConfigError for encodings that are unknown or repeated, for an empty list of seeds, and for options that
  /// differ from their defaults where no selected encoding or tokenizer uses them.
  void validate() const;

  void refuse_unread_options() const;
  PositionalConfig positions(const std::string& encoding) const;
  VqvaeConfig tokenizer_config() const;
  VqvaeTrainOptions tokenizer_training(int64_t training_steps) const;
  /// The transformer of an encoding, on a tokenizer's codes.
  VarConfig transformer_config(const std::string& encoding, const VqvaeConfig& codes, int64_t classes) const;
  VarTrainOptions transformer_training(int64_t training_steps, uint64_t seed) const;
  SampleOptions sampling() const { return {.cfg = cfg, .top_k = top_k, .top_p = top_p}; }
};

/// An encoding as the study names it: a positional encoding, or one with a fixed table that starts at the RMS of a
/// learned one, "sinusoid-2d@matched". Throws ConfigError that lists the names.
PositionalConfig positional_from_text(const std::string& text, int64_t embed_dim);

/// RMS of a learned table before the first step, 1/sqrt(3C).
double learned_table_rms(int64_t embed_dim);

/// Refuses to mix two studies in one folder: `stored` and `own` must agree in everything but the lists of encodings
/// and seeds, the folder, threads and device. Throws ConfigError naming what differs.
void require_same_study(const Json& stored, const Json& own, const std::string& folder);

}  // namespace terrace
