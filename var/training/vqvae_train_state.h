// What a VqvaeTrainer holds; shared by its loop and its checkpoints.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "data/datasets/loader.h"
#include "nn/ema.h"
#include "nn/optim.h"
#include "var/tokenizer/codebook.h"
#include "var/training/vqvae_trainer.h"

namespace terrace {

struct VqvaeTrainer::State {
  State(Vqvae& model, const ImageDataset& train, const ImageDataset* held_out, const VqvaeTrainOptions& options,
        VqvaeTrainCallbacks callbacks);
  VqvaeStepRecord run_step();
  void start_codes();
  int64_t revive_codes(const Quantizer::Output& quantized);
  void reseed(const std::vector<int64_t>& codes, const Quantizer::Output& quantized, Generator& g);
  void close_record();
  void complete_record(VqvaeStepRecord& record) const;
  /// The averages of the codes, which the codes' jumps (start, revival) must reach at once; undefined without an EMA.
  Tensor averaged_codes();

  Vqvae& model;
  ImageDataset train;
  std::optional<ImageDataset> held_out;
  VqvaeTrainOptions options;
  VqvaeTrainCallbacks callbacks;
  NamedParameters parameters;
  AdamW optimizer;
  std::optional<Ema> ema;
  CodeClock clock;
  std::unique_ptr<Loader> loader;  // made at the first step, so that it begins where a checkpoint left off
  int64_t step = 0;
  VqvaeStepRecord pending;  // sums since the last record
  int64_t pending_steps = 0;
  int64_t timed_steps = 0;  // of the pending ones, those made by this process: times are not in checkpoints
  std::vector<VqvaeStepRecord> log;
  std::vector<VqvaeEvaluation> evaluations;
  bool evaluation_due = false;  // of the last record, whose evaluation threw
};

}  // namespace terrace
