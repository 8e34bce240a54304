// What the stages of a study share.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "data/datasets/image_dataset.h"
#include "data/datasets/procedural.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/timing.h"
#include "experiments/study/results.h"

namespace terrace {

using StudyClock = std::chrono::steady_clock;

inline constexpr int64_t kStudyBatch = 64;  // images encoded or sampled at once

/// The costs of a stage under way, which an earlier session may have begun: kept in a file after every record.
class StageCostFile {
 public:
  StageCostFile(const std::string& path, StudyClock::time_point start)
      : path_(path), start_(start), costs_(read_costs(path)), earlier_(costs_.seconds) {}
  double earlier() const { return earlier_; }  // seconds in the sessions before this one
  double seconds() const { return earlier_ + seconds_since(start_); }
  const StageCosts& costs() const { return costs_; }
  void add(int64_t step, double seconds_per_step, int64_t bytes) {
    costs_.records[step] = {seconds_per_step, bytes};
    save();
  }
  void save() {
    costs_.seconds = seconds();
    write_costs(path_, costs_);
  }

 private:
  std::string path_;
  StudyClock::time_point start_;
  StageCosts costs_;
  double earlier_;
};

/// Seconds of all steps, of which each record has the mean since the one before; NaN without records.
inline double seconds_of_steps(const StageCosts& costs) {
  double seconds = costs.records.empty() ? kNotMeasured : 0;
  int64_t before = 0;
  for (const auto& [step, cost] : costs.records) {
    seconds += cost.first * static_cast<double>(step - before);
    before = step;
  }
  return seconds;
}

/// Trains to the end, from the checkpoint where there is one. Where it is interrupted, the time until then counts.
template <class Trainer>
void run_from_checkpoint(Trainer& trainer, const std::string& checkpoint, StageCostFile& costs, Progress& progress) {
  if (std::filesystem::exists(checkpoint)) { trainer.resume(checkpoint); }
  progress.start(trainer.steps_done());
  try {
    trainer.run();
  } catch (const Interrupted&) {
    costs.save();
    throw;
  }
}

/// Whether the procedural set's rule can judge these images.
inline bool is_procedural(const ImageDataset& dataset) { return dataset.class_names() == procedural_class_names(); }

}  // namespace terrace
