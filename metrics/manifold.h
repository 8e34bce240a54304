// Two sets of features compared by nearest neighbours: precision and recall (Kynkaanniemi et al. 2019), as
// the ADM evaluator computes them, density and coverage (Naeem et al. 2020).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "metrics/feature_rows.h"

namespace terrace {

/// Distance of every row to its k-th nearest other row, Euclidean, in f64. Throws ConfigError unless 1 <= k < N.
std::vector<double> neighbour_radii(const FeatureRows& x, int64_t k);

struct ManifoldOptions {
  int64_t k_precision = 3;  // of precision and recall
  int64_t k_density = 5;    // of density and coverage
  /// Hears after each tile how many pairs of images are compared. May throw to stop.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// With B_k(x) the ball about x to its k-th neighbour within its own set:
///   precision  share of fakes in B(r) of any real r;   recall    share of reals in B(f) of any fake f   (<=)
///   density    mean over fakes of |{r: f in B(r)}| / k;  coverage  share of reals with any fake in B(r)  (<)
struct ManifoldScores {
  double precision = 0, recall = 0, density = 0, coverage = 0;
};

/// All pairs, R^2 + F^2 + R F of them for R reals and F fakes, in tiles, in f64: time grows with them, memory with
/// R + F alone. Throws ShapeError; ConfigError where a set has too few rows for k.
ManifoldScores manifold_scores(const FeatureRows& real, const FeatureRows& fake, const ManifoldOptions& options = {});

}  // namespace terrace
