// is: the Inception Score of the fakes.
#include <algorithm>

#include "experiments/cli/progress.h"
#include "experiments/evaluation/metric.h"
#include "metrics/inception_score.h"

namespace terrace {
namespace {

constexpr int64_t kAdmSplit = 5000;  // images of a split of ADM's Inception Score

void declare(Options& options, EvaluationOptions& values) {
  options.add("splits", values.splits, "splits, in file order, that the Inception Score is the mean of")
      .range(0, 1e6)
      .default_text("10; adm: one for 5000 images");
}

std::vector<Figure> compute(const MetricInput& input) {
  int64_t splits = input.options.splits;
  if (splits == 0) {
    const int64_t count = input.fake.set.count;
    splits = input.options.inception.protocol == Protocol::kAdm ? (count + kAdmSplit - 1) / kAdmSplit : 10;
    splits = std::min(splits, count);
  }
  const InceptionScore score = inception_score(*input.fake.set.logits, splits);
  Figure figure = input.stamper.figure("IS", score.mean, {{"splits", splits}, {"logits", "1008 classes, without bias"}},
                                       cat(splits, splits == 1 ? " split" : " splits", " in file order"));
  figure.text = cat("+- ", format_number(score.deviation));
  figure.details = {{"deviation", score.deviation}, {"splits", score.splits}};
  return {figure};
}

}  // namespace

Metric inception_score_metric() {
  return {.name = "is",
          .title = "IS",
          .explanation = "Inception Score",
          .cost = "the whole network for every fake, whatever --features; 4 kB of TMPDIR for each",
          .needs = {.logits = true},
          .declare = declare,
          .compute = compute};
}

}  // namespace terrace
