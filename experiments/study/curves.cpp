// The study's curves.csv: the columns of train_var's, after those that tell the runs apart.
#include <cmath>

#include "experiments/study/results.h"
#include "tensor/base/error.h"
#include "var/training/curves.h"

namespace terrace {

std::string study_csv(const StudyResults& results) {
  const auto scales = static_cast<int64_t>(results.patch_nums.size());
  std::string text = cat("encoding,seed,", curves_csv_header<VarStepRecord>(scales), "\n");
  for (const StudyRun& run : results.runs) {
    for (VarStepRecord record : run.log) {
      const bool last = record.step == run.steps;
      // A run's samples are compared with images once, at its end.
      if (last && std::isfinite(run.distance)) { record.frechet_distance = run.distance; }
      if (record.has_held_out() && record.held_out_images == 0) {  // results of earlier versions leave it out
        record.held_out_images = last ? results.held_out_images : results.curve_images;
      }
      text += cat(run.encoding, ",", run.seed, ",", curves_csv_row(record, scales), "\n");
    }
  }
  return text;
}

}  // namespace terrace
