// Two sets of features compared by nearest neighbours: precision and recall (Kynkaanniemi et al. 2019), as
// the ADM evaluator computes them, density and coverage (Naeem et al. 2020).
#pragma once

#include <cstdint>
#include <vector>

#include "metrics/feature_rows.h"

namespace terrace {

/// Distance of every row to its k-th nearest other row, Euclidean, in f64. Throws ConfigError unless 1 <= k < N.
std::vector<double> neighbour_radii(const FeatureRows& x, int64_t k);

struct ManifoldOptions {
  int64_t k_precision = 3;  // of precision and recall
  int64_t k_density = 5;    // of density and coverage
};

/// With B_k(x) the ball about x to its k-th neighbour within its own set:
///   precision  share of fakes in B(r) of any real r;   recall    share of reals in B(f) of any fake f   (<=)
///   density    mean over fakes of |{r: f in B(r)}| / k;  coverage  share of reals with any fake in B(r)  (<)
struct ManifoldScores {
  double precision = 0, recall = 0, density = 0, coverage = 0;
};

/// All pairs, in tiles, in f64. Throws ShapeError; ConfigError where a set has too few rows for k.
ManifoldScores manifold_scores(const FeatureRows& real, const FeatureRows& fake, const ManifoldOptions& options = {});

}  // namespace terrace
