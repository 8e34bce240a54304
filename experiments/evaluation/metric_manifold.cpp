// pr and dc: precision and recall, density and coverage, by nearest neighbours. Both come of one pass over all pairs.
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/evaluation/metric.h"
#include "metrics/manifold.h"

namespace terrace {
namespace {

constexpr const char* kPrecisionRecall = "pr";
constexpr const char* kDensityCoverage = "dc";

ManifoldScores scores_of(const MetricInput& input) {
  ManifoldOptions neighbours = input.options.manifold;
  // The k of a metric that is not requested must not ask for more images than the other needs.
  if (!is_requested(input.options, kDensityCoverage)) { neighbours.k_density = neighbours.k_precision; }
  if (!is_requested(input.options, kPrecisionRecall)) { neighbours.k_precision = neighbours.k_density; }
  const int64_t R = input.real.set.features->size(), F = input.fake.set.features->size();
  Progress progress("neighbours", R * R + F * F + R * F, "pairs");
  progress.start(0);
  neighbours.progress = [&](int64_t done, int64_t) {
    check_interrupt();
    progress.update(done);
  };
  return manifold_scores(*input.real.set.features, *input.fake.set.features, neighbours);
}

Figure figure(const MetricInput& input, const char* name, double value, int64_t k) {
  const int64_t fakes = input.fake.set.count, reals = input.real.set.count;
  return input.stamper.figure(input.stamper.name(name), value, {{"neighbours", k}, {"images_compared", {fakes, reals}}},
                              cat(k, " nearest neighbours among ", fakes, " / ", reals, " images"));
}

void declare_precision_recall(Options& options, EvaluationOptions& values) {
  options
      .add("pr-neighbours", values.manifold.k_precision,
           "nearest neighbour k whose distance is the radius, of precision and recall")
      .at_least(1);
}

std::vector<Figure> precision_recall(const MetricInput& input) {
  const auto& scores = input.shared<ManifoldScores>([&] { return scores_of(input); });
  const int64_t k = input.options.manifold.k_precision;
  return {figure(input, "precision", scores.precision, k), figure(input, "recall", scores.recall, k)};
}

void declare_density_coverage(Options& options, EvaluationOptions& values) {
  options
      .add("dc-neighbours", values.manifold.k_density,
           "nearest neighbour k whose distance is the radius, of density and coverage")
      .at_least(1);
}

std::vector<Figure> density_coverage(const MetricInput& input) {
  const auto& scores = input.shared<ManifoldScores>([&] { return scores_of(input); });
  const int64_t k = input.options.manifold.k_density;
  return {figure(input, "density", scores.density, k), figure(input, "coverage", scores.coverage, k)};
}

}  // namespace

Metric precision_recall_metric() {
  return {.name = kPrecisionRecall,
          .title = "precision and recall",
          .explanation = "precision and recall",
          .cost =
              "all pairs of R reals and F fakes: time (R^2 + F^2 + R F) d; memory tiles of 1024 x 1024, whatever R "
              "and F; 4 (R + F) d bytes of TMPDIR; published figures take 10,000 to 50,000 fakes and 10,000 reals "
              "(--real-limit 10000)",
          .needs = {.features = true},
          .declare = declare_precision_recall,
          .compute = precision_recall};
}

Metric density_coverage_metric() {
  return {.name = kDensityCoverage,
          .title = "density and coverage",
          .explanation = "density and coverage",
          .cost = "as pr; where both are asked for, the pairs are compared once",
          .needs = {.features = true},
          .declare = declare_density_coverage,
          .compute = density_coverage};
}

}  // namespace terrace
