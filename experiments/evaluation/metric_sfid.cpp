// sfid: the Frechet distance of the first channels of a 17 x 17 map, which see where things are (Nash et al. 2021).
#include "experiments/evaluation/metric.h"
#include "metrics/frechet.h"

namespace terrace {
namespace {

std::vector<Figure> compute(const MetricInput& input) {
  const Gaussian &fake = *input.fake.set.statistics.spatial, &real = *input.real.set.statistics.spatial;
  const bool complete = input.network != nullptr && input.network->complete;
  const char* name = input.network == nullptr ? "sFID(saved statistics)" : complete ? "sFID" : "sFID(partial weights)";
  Figure figure =
      input.stamper.figure(name, frechet_distance(real, fake), {{"level", "spatial 17 x 17 x 7"}}, "spatial features");
  figure.warning = warning_of_few_images(figure, input, real.dim());
  return {figure};
}

}  // namespace

Metric sfid_metric() {
  return {.name = "sfid",
          .title = "sFID",
          .explanation = "",
          .cost = "the network up to its 17 x 17 layers, four fifths of the whole; eigenvalues as fid with d = 2023",
          .needs = {.spatial = true},
          .compute = compute};
}

}  // namespace terrace
