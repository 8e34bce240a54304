// fid: the Frechet distance of the features, its bootstrap interval and its limit in the number of images.
#include "experiments/cli/progress.h"
#include "experiments/evaluation/metric.h"
#include "metrics/resampling.h"

namespace terrace {
namespace {

constexpr int64_t kCurvePoints = 15;  // as Chong and Forsyth take
constexpr int64_t kMinCurveImages = 50;

void add_interval(Figure& figure, const FrechetReference& reference, const MetricInput& input) {
  const ConfidenceInterval interval =
      bootstrap_frechet(reference, *input.fake.set.features, figure.value, input.options.bootstrap, input.options.seed);
  figure.text = cat("95 % [", format_number(interval.low), ", ", format_number(interval.high), "]");
  figure.details["interval_95"] = {interval.low, interval.high};
  figure.details["deviation"] = interval.deviation;
  figure.stamp["bootstrap"] = {{"replicates", interval.replicates}, {"of", "fakes"}, {"seed", input.options.seed}};
  figure.stamp_line += cat("; bootstrap ", interval.replicates);
}

Figure at_infinity(const FrechetReference& reference, const MetricInput& input) {
  const uint64_t seed = input.options.seed;
  const FrechetCurve curve = frechet_curve(reference, *input.fake.set.features, kCurvePoints, kMinCurveImages, seed);
  Figure figure = input.stamper.figure(input.stamper.name("FID") + "-infinity", curve.at_infinity,
                                       {{"curve", {{"points", curve.counts.size()}, {"seed", seed}}}},
                                       cat("line over 1/N through ", curve.counts.size(), " points"));
  figure.details = {{"slope", curve.slope}, {"images", curve.counts}, {"distances", curve.distances}};
  return figure;
}

std::vector<Figure> compute(const MetricInput& input) {
  const FrechetReference reference(input.real.set.statistics.features);
  const double distance = reference.distance(input.fake.set.statistics.features);
  std::vector<Figure> figures = {input.stamper.figure(input.stamper.name("FID"), distance)};
  figures.front().warning = warning_of_few_images(figures.front(), input, input.real.set.statistics.features.dim());
  if (input.options.bootstrap > 0) { add_interval(figures.front(), reference, input); }
  if (input.options.fid_vs_n) { figures.push_back(at_infinity(reference, input)); }
  return figures;
}

}  // namespace

Metric fid_metric() {
  return {.name = "fid",
          .title = "FID",
          .explanation = "",
          .cost =
              "eigenvalues of two d x d matrices, d the level of --features, once: time d^3, memory d^2; with "
              "--bootstrap and --fid-vs-n once for each replicate and part",
          .needs = {},
          .compute = compute};
}

}  // namespace terrace
