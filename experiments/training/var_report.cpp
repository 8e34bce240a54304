#include "experiments/training/var_report.h"

#include <cstdio>

#include "experiments/cli/program.h"
#include "experiments/training/pictures.h"

namespace terrace {

VarTrainingReport::VarTrainingReport(VarReportOptions options, VarTransformer& model, Vqvae& tokenizer,
                                     OutputFolder& folder, RunRecord& record, RunLength& length)
    : options_(std::move(options)),
      model_(model),
      tokenizer_(tokenizer),
      folder_(folder),
      record_(record),
      length_(length),
      tables_(model.table_summary()),
      curves_(folder.path(""), model.pyramid().scales()),
      progress_("transformer", options_.training.steps) {
  tokenizer_.eval();
}

void VarTrainingReport::measure_distance(const ImageDataset& images, const EvaluatorOptions& options) {
  evaluator_.emplace(tokenizer_, images, options);
}

VarTrainCallbacks VarTrainingReport::callbacks() {
  VarTrainCallbacks callbacks;
  callbacks.record = [this](const VarStepRecord& r) {
    last_ = curves_.add(r);
    if (r.has_held_out()) { held_out_loss_ = r.held_out_loss; }
    curves_.publish_sometimes();
  };
  callbacks.progress = [this](int64_t done, int64_t steps, double loss) { update(done, steps, loss); };
  callbacks.evaluate = [this](VarStepRecord& r, VarTransformer&) {
    interruptible("in the evaluation ", r.step, [&] { evaluate(r); });
  };
  callbacks.held_out_progress = [this](int64_t step, int64_t images, int64_t of) {
    progress_.doing(cat("held-out loss, image ", images, " of ", of));
    interruptible("in the evaluation ", step, [] { check_interrupt(); });
  };
  callbacks.before_checkpoint = [this] { curves_.publish(); };
  callbacks.plan = length_.plan();
  return callbacks;
}

void VarTrainingReport::begin(const VarTrainer& trainer) {
  folder_.begin(record_);
  std::printf("%.2f million parameters; tables that the tokens get, root mean square at the start:\n",
              static_cast<double>(model_.parameter_count()) / 1e6);
  for (const TableSummary& row : tables_) {
    std::printf("  %-24s %.5f  %s\n", row.name.c_str(), row.rms, row.learned ? "learned" : "fixed");
  }
  std::fflush(stdout);  // before the lines of progress, which go to stderr, where both go to one file
  last_ = curves_.add_earlier(trainer.log());
  curves_.publish();
  progress_.start(trainer.steps_done());
  say(length_.announce(options_.training, trainer.steps_done(), options_.training.steps));
}

void VarTrainingReport::say(const std::string& text) {
  if (!text.empty()) { progress_.message(text); }
}

void VarTrainingReport::evaluate(VarStepRecord& r) {
  std::string text;
  if (r.has_held_out()) {
    char figures[120];
    std::snprintf(figures, sizeof figures, "held-out loss %.4f, token accuracy %.1f %% over %lld images",
                  r.held_out_loss, 100 * r.held_out_accuracy, static_cast<long long>(r.held_out_images));
    text = figures;
  }
  if (evaluator_) {
    distance_ = r.frechet_distance = evaluator_->distance(model_);
    text += cat(text.empty() ? "" : "; ", evaluator_->line(distance_));
  }
  if (!text.empty()) { say(cat("step ", r.step, ": ", text)); }
  if (options_.grid_images <= 0) { return; }
  const std::string file = step_file("samples", r.step);
  folder_.add(record_, file);
  write_samples(folder_.path(file), model_, tokenizer_, options_.class_names, options_.grid_images);
}

void VarTrainingReport::update(int64_t done, int64_t steps, double loss) {
  progress_.set_total(steps);
  say(length_.announce(options_.training, done, steps));
  Progress::Fields fields = {{"loss", loss}};
  if (held_out_loss_ >= 0) { fields.emplace_back("held-out", held_out_loss_); }
  progress_.update(done, fields);
  if (interrupted() && done < steps) { throw Interrupted(interrupted_text("", done)); }
}

void VarTrainingReport::keep_results(const VarTrainer& trainer) {
  Json tables = Json::object();
  for (const TableSummary& row : tables_) { tables[row.name] = row.rms; }
  Json& results = record_.results();
  results["steps"] = trainer.steps_done();
  results["parameters"] = model_.parameter_count();
  results["table_rms_at_start"] = std::move(tables);
  results["peak_resident_bytes"] = peak_resident_bytes();
  results["loss"] = last_.loss;
  results["accuracy"] = last_.accuracy;
  if (last_.seconds_per_step > 0) { results["seconds_per_step"] = last_.seconds_per_step; }
  if (last_.peak_bytes > 0) { results["peak_tensor_bytes"] = last_.peak_bytes; }
  if (distance_ >= 0) {
    results["frechet"] = {{"name", evaluator_->frechet().name()},
                          {"about", evaluator_->frechet().about()},
                          {"samples", distance_},
                          {"reconstructions", evaluator_->distance_of_reconstructions()},
                          {"images", evaluator_->frechet().reference_images()}};
  }
  if (!last_.has_held_out()) { return; }
  results["held_out_images"] = last_.held_out_images;
  results["held_out_loss"] = last_.held_out_loss;
  results["held_out_accuracy"] = last_.held_out_accuracy;
  results["held_out_scale_loss"] = last_.held_out_scale_loss;
}

void VarTrainingReport::print_result() const {
  std::printf("loss %.4f, token accuracy %.1f %%", last_.loss, 100 * last_.accuracy);
  if (last_.has_held_out()) {
    std::printf("; held out %.4f, %.1f %% over %lld images", last_.held_out_loss, 100 * last_.held_out_accuracy,
                static_cast<long long>(last_.held_out_images));
  }
  if (last_.seconds_per_step > 0) {
    std::printf("; %.1f ms a step, peak %s of tensors", 1e3 * last_.seconds_per_step,
                format_bytes(static_cast<double>(last_.peak_bytes)).c_str());
  }
  std::printf("\n");
}

void VarTrainingReport::finish(const VarTrainer& trainer, const std::string& held_out_split) {
  progress_.finish();
  if (!trainer.not_recorded().empty()) {
    std::printf("steps were launched one kernel at a time: %s\n", trainer.not_recorded().c_str());
  }
  curves_.publish();
  // A run that was stopped after its last evaluation comes here without another.
  if (evaluator_ && distance_ < 0) {
    interruptible("", trainer.steps_done(), [&] { distance_ = evaluator_->distance(model_); });
  }
  keep_results(trainer);
  record_.results()["held_out_split"] = held_out_split.empty() ? Json() : Json(held_out_split);
  const std::string stopped = length_.stopped(trainer.steps_done(), options_.training.steps);
  stopped.empty() ? folder_.finish(record_) : folder_.stop(record_);
  print_result();
  if (!stopped.empty()) { std::printf("%s\n", stopped.c_str()); }
  std::printf("%s\n", options_.training.checkpoint_path.c_str());
}

}  // namespace terrace
