#include "metrics/resampling.h"

#include <algorithm>

#include "metrics/random_rows.h"
#include "tensor/base/mean_deviation.h"
#include "tensor/device/interruption.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

constexpr size_t kRowsAtOnce = 1024;

/// Between the sorted values, linearly.
double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Gaussian gaussian_of_rows(const FeatureRows& rows, const std::vector<int64_t>& which) {
  Moments moments(rows.dim());
  for (size_t begin = 0; begin < which.size(); begin += kRowsAtOnce) {
    interruption_point();
    const size_t end = std::min(which.size(), begin + kRowsAtOnce);
    moments.add(rows.gather(
        {which.begin() + static_cast<std::ptrdiff_t>(begin), which.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  return moments.gaussian();
}

ConfidenceInterval bootstrap_frechet(const FrechetReference& reference, const FeatureRows& fake, double estimate,
                                     int64_t replicates, uint64_t seed) {
  if (replicates < 2 || fake.size() < 2) {
    throw ConfigError(cat("bootstrap: ", replicates, " replicates of ", fake.size(), " images; two or more of both"));
  }
  std::vector<double> values;
  for (int64_t b = 0; b < replicates; ++b) {
    Generator g(seed, streams::kBootstrap + b);
    values.push_back(reference.distance(gaussian_of_rows(fake, random_resample(fake.size(), g))));
  }
  const double mean = mean_of(values), deviation = deviation_of(values, mean, 1);
  std::sort(values.begin(), values.end());
  return {.low = estimate + quantile(values, 0.025) - mean,
          .high = estimate + quantile(values, 0.975) - mean,
          .deviation = deviation,
          .replicates = replicates};
}

FrechetCurve frechet_curve(const FrechetReference& reference, const FeatureRows& fake, int64_t points,
                           int64_t min_images, uint64_t seed) {
  FrechetCurve curve;
  for (int64_t p = 1; p <= points; ++p) {
    const int64_t count = fake.size() * p / points;
    if (count < std::max<int64_t>(min_images, 2)) { continue; }
    Generator g(seed, streams::kFrechetCurve + p);
    curve.counts.push_back(count);
    curve.distances.push_back(reference.distance(gaussian_of_rows(fake, random_subset(fake.size(), count, g))));
  }
  if (curve.counts.size() < 2) {
    throw ConfigError(cat("frechet_curve: ", fake.size(), " images in ", points, " steps with ", min_images,
                          " images or more leave ", curve.counts.size(), " points; a line needs two"));
  }
  double x_mean = 0, y_mean = 0, xy = 0, xx = 0;
  const auto n = static_cast<double>(curve.counts.size());
  const auto x = [&](size_t i) { return 1 / static_cast<double>(curve.counts[i]); };
  for (size_t i = 0; i < curve.counts.size(); ++i) { x_mean += x(i) / n, y_mean += curve.distances[i] / n; }
  for (size_t i = 0; i < curve.counts.size(); ++i) {
    xy += (x(i) - x_mean) * (curve.distances[i] - y_mean);
    xx += (x(i) - x_mean) * (x(i) - x_mean);
  }
  curve.slope = xy / xx;
  curve.at_infinity = y_mean - curve.slope * x_mean;
  return curve;
}

}  // namespace terrace
