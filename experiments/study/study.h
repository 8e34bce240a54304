// The study: stages that build on each other, each kept in the folder and skipped where it is finished.
//
//   OUT/run.json                the files of the study, from its first moment on
//   OUT/study.json              configuration, and what --minutes chose
//   OUT/data.h5                 the generated set, unless a dataset was given
//   OUT/tokenizer.h5            checkpoint of the tokenizer; OUT/tokenizer_result.h5 its figures
//   OUT/tokens_train.h5 ...     the images as tokens, encoded once
//   OUT/runs/ENCODING-seedN/    checkpoint.h5 and result.h5 of each transformer
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "data/datasets/image_dataset.h"
#include "experiments/cli/output_folder.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/study/config.h"
#include "experiments/study/plan.h"
#include "experiments/study/results.h"
#include "var/tokenizer/token_cache.h"

namespace terrace {

class StageCostFile;

class Study {
 public:
  /// `config` has been validated; `configuration` is the JSON of the options in effect. Begins the run in `folder`.
  /// Throws ConfigError, and changes nothing, where the folder holds another study.
  Study(const StudyConfig& config, Json configuration, OutputFolder& folder, RunRecord& record);
  ~Study();

  /// Runs what is not finished and gathers everything. Interrupted leaves the stages done so far, and the checkpoint
  /// of the one under way.
  StudyResults run();

 private:
  void open_folder(OutputFolder& folder, RunRecord& record);
  Json stored_state() const;
  void prepare_data();
  void prepare_tokenizer();
  void check_bounds() const;
  void plan_tokenizer();
  void plan_token_counts();
  void train_tokenizer();
  void describe_tokenizer();
  /// Of some of these images; kNotMeasured where there are too few. The evaluator is made at the first call.
  double distance_of(const Tensor& images);
  double seconds_per_distance();  // of one image
  TokenSet tokens_of(const ImageDataset& dataset, int64_t limit, const char* name);
  void prepare_tokens();
  void plan_transformers();
  /// What a step, an evaluation and a sample of a trial transformer cost.
  RunCosts measure_run();
  void say_plan(const RunPlan& plan, const RunCosts& costs, double runs, double seconds) const;
  void say_short(const char* what, int64_t steps, const std::string& advice) const;
  StudyRun run_transformer(const std::string& encoding, uint64_t seed);
  void train_transformer(VarTransformer& model, const std::string& folder, int64_t live_before, StageCostFile& costs,
                         StudyRun& run);
  void draw_samples(VarTransformer& model, StudyRun& run);
  VarTrainingData training_data() const;
  HeldOut evaluate_all(VarTransformer& model) const;
  StageOrigin origin(double seconds) const;
  /// Throws ConfigError where a finished stage was made from other images or another tokenizer.
  void require_same_origin(const StageOrigin& stored, const std::string& file) const;
  void save_state() const;

  bool is_given(const char* option) const { return config_.given.count(option) != 0; }
  int64_t planned(const char* what, int64_t given) const;  // from study.json, where it has been decided
  void plan(const Json& decided);
  /// Puts what study.json has decided in the place of the options. Throws ConfigError where other values were given.
  void apply_plan();
  double seconds_left() const;  // of --minutes
  std::string path(const std::string& name) const { return config_.common.out + "/" + name; }
  void say(const std::string& text) const;

  StudyConfig config_;
  Json configuration_, plan_ = Json::object();
  std::chrono::steady_clock::time_point start_;
  std::optional<ImageDataset> train_, held_out_;
  Device device_;
  std::unique_ptr<Vqvae> tokenizer_;
  double earlier_tokenizer_seconds_ = 0;  // in sessions before this one
  double earlier_seconds_ = 0;            // of --minutes that sessions before this one have used
  TokenSet train_tokens_, held_out_tokens_;
  StudyTokenizer tokenizer_result_;
  std::unique_ptr<FrechetEvaluator> evaluator_;
  double distance_seconds_ = 0;  // that an image takes
};

/// The option that a name in study.json's plan stands for: "held_out_images" is "held-out-images".
std::string option_of(std::string planned_name);

/// Share of images, u8 (N, H, W, 3), in which the procedural set's rule finds the label given; per class where asked.
double own_class_share(const Tensor& images, const Tensor& labels, std::vector<double>* per_class = nullptr);

}  // namespace terrace
