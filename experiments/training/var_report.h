// What train_var shows of a training while it runs, and keeps of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/frechet_evaluator.h"
#include "experiments/training/start.h"
#include "var/training/curves.h"
#include "var/training/var_trainer.h"

namespace terrace {

struct VarReportOptions {
  VarTrainOptions training;
  std::vector<std::string> class_names = {};  // captions of that picture; may be empty
  int64_t grid_images = 0;                    // samples in the picture of an evaluation; 0: no pictures
};

class VarTrainingReport {
 public:
  /// What is given by reference outlives the report. The tokenizer is put into eval mode.
  VarTrainingReport(VarReportOptions options, VarTransformer& model, Vqvae& tokenizer, OutputFolder& folder,
                    RunRecord& record, RunLength& length);

  /// From here on draws samples at every evaluation and compares them with these images.
  void measure_distance(const ImageDataset& images, const EvaluatorOptions& options);
  VarTrainCallbacks callbacks();
  /// Before the first step of this process: what the model gets, and the log of a resumed run.
  void begin(const VarTrainer& trainer);
  /// After the last: run.json, and the result on stdout. `held_out_split`: "" without one.
  void finish(const VarTrainer& trainer, const std::string& held_out_split);

 private:
  void say(const std::string& text);
  void evaluate(VarStepRecord& record);
  void update(int64_t done, int64_t steps, double loss);
  void keep_results(const VarTrainer& trainer);
  void print_result() const;

  VarReportOptions options_;
  VarTransformer& model_;
  Vqvae& tokenizer_;
  OutputFolder& folder_;
  RunRecord& record_;
  RunLength& length_;
  std::vector<TableSummary> tables_;  // at the start
  CurveFiles<VarStepRecord> curves_;
  Progress progress_;
  VarStepRecord last_;
  double held_out_loss_ = -1;  // the last one, for the line of progress; negative: none yet
  std::optional<SampleEvaluator> evaluator_;
  double distance_ = -1;
};

}  // namespace terrace
