// kid: the Kernel Inception Distance of the two sides' features.
#include "experiments/cli/progress.h"
#include "experiments/evaluation/metric.h"
#include "metrics/kernel_distance.h"

namespace terrace {
namespace {

void declare(Options& options, EvaluationOptions& values) {
  options.add("kid-subsets", values.kid_subsets, "that KID is the mean of; 0: all pairs of the whole sets")
      .range(0, 1e6);
  options.add("kid-size", values.kid_size, "images of a subset, at most").at_least(2);
}

std::vector<Figure> compute(const MetricInput& input) {
  const FeatureRows &fake = *input.fake.set.features, &real = *input.real.set.features;
  const std::string name = input.stamper.name("KID");
  const EvaluationOptions& options = input.options;
  if (options.kid_subsets == 0) {
    return {input.stamper.figure(name, kernel_distance(real, fake), {{"kid", "all pairs, unbiased"}}, "all pairs")};
  }
  const KernelDistance distance = kernel_distance_of_subsets(
      real, fake, {.count = options.kid_subsets, .size = options.kid_size, .seed = options.seed});
  Figure figure = input.stamper.figure(
      name, distance.mean, {{"kid", {{"subsets", distance.subsets}, {"size", distance.size}, {"seed", options.seed}}}},
      distance.subsets == 1 ? cat("1 subset of ", distance.size, ", which has no deviation")
                            : cat(distance.subsets, " subsets of ", distance.size));
  if (distance.subsets > 1) {
    figure.text = cat("+- ", format_number(distance.deviation));
    figure.details = {{"deviation", distance.deviation}};
  }
  return {figure};
}

}  // namespace

Metric kernel_distance_metric() {
  return {.name = "kid",
          .title = "KID",
          .explanation = "",
          .cost =
              "pairs of images within each subset: time --kid-subsets times the square of --kid-size, whatever the "
              "number of images; with --kid-subsets 0 all pairs, as pr",
          .needs = {.features = true},
          .declare = declare,
          .compute = compute};
}

}  // namespace terrace
