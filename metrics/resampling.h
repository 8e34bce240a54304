// How far a Frechet distance can be trusted: bootstrap intervals, and its bias in the number of images.
#pragma once

#include <cstdint>
#include <vector>

#include "metrics/feature_rows.h"
#include "metrics/frechet.h"

namespace terrace {

struct ConfidenceInterval {
  double low = 0, high = 0;  // 95 %
  double deviation = 0;      // of the replicates
  int64_t replicates = 0;
};

/// Distances of `replicates` resamples of the fake features to the reference, which stays as it is. A resample repeats
/// images, which raises its distance; so the interval is the replicates' 2.5 and 97.5 % quantiles moved by the
/// difference of their mean from `estimate`: it holds the chance of the draw, not the bias that frechet_curve shows.
/// Replicate b depends on (seed, b) alone. Throws ConfigError unless there are two replicates and two images or more.
ConfidenceInterval bootstrap_frechet(const FrechetReference& reference, const FeatureRows& fake, double estimate,
                                     int64_t replicates, uint64_t seed);

struct FrechetCurve {
  std::vector<int64_t> counts;
  std::vector<double> distances;
  double at_infinity = 0;  // the line's intercept
  double slope = 0;        // times 1/N
};

/// FID against N and its limit (Chong and Forsyth 2020): the distances of random subsets of N = N_max/points, 2
/// N_max/points, ... N_max fakes, where at least `min_images` are in one, and the least-squares line through them
/// over 1/N. Throws ConfigError unless two points or more remain.
FrechetCurve frechet_curve(const FrechetReference& reference, const FeatureRows& fake, int64_t points,
                           int64_t min_images, uint64_t seed);

/// The moments of some rows, read a block at a time.
Gaussian gaussian_of_rows(const FeatureRows& rows, const std::vector<int64_t>& which);

}  // namespace terrace
