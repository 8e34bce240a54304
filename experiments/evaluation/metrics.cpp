#include <algorithm>

#include "experiments/evaluation/metric.h"

namespace terrace {

Metric fid_metric();
Metric sfid_metric();
Metric inception_score_metric();
Metric kernel_distance_metric();
Metric precision_recall_metric();
Metric density_coverage_metric();

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> table = {
      fid_metric(),
      sfid_metric(),
      inception_score_metric(),
      kernel_distance_metric(),
      precision_recall_metric(),
      density_coverage_metric(),
  };
  return table;
}

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Metric& metric : metrics()) { all.push_back(metric.name); }
    return all;
  }();
  return names;
}

bool is_requested(const EvaluationOptions& options, const std::string& metric) {
  return std::find(options.metrics.begin(), options.metrics.end(), metric) != options.metrics.end();
}

std::string warning_of_few_images(const Figure& figure, const MetricInput& input, int64_t dim) {
  const auto is_few = [&](const EvaluationSide& side) { return side.count() > 0 && side.count() <= dim; };
  if (!is_few(input.fake) && !is_few(input.real)) { return ""; }
  const auto number = [](const EvaluationSide& side) { return side.count() > 0 ? cat(side.count()) : "unknown"; };
  return cat(figure.name, " of ", number(input.fake), " / ", number(input.real), " images in ", dim,
             " dimensions means little: the covariance of N images has a rank of N - 1 at most; take more than ", dim,
             " images of either side");
}

void require_images(const EvaluationSide& side, const std::string& what) {
  if (!side.has_images) {
    throw ConfigError(cat(what, " needs images, not their statistics alone: ", side.path, " holds mu and sigma"));
  }
}

}  // namespace terrace
