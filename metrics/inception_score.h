// The Inception Score (Salimans et al. 2016): exp of the mean over images of KL(p(y|x) || p(y)), by splits.
#pragma once

#include <cstdint>
#include <vector>

#include "metrics/feature_rows.h"

namespace terrace {

struct InceptionScore {
  double mean = 0, deviation = 0;  // over the splits; the population's deviation
  std::vector<double> splits;
};

/// Split i of n is the rows [i N / n, (i + 1) N / n): the order of the images matters. p = softmax of a row of logits,
/// in f64; the score of a split is exp(mean_x sum_y p(y|x) log p(y|x) - sum_y p(y) log p(y)). Throws ConfigError unless
/// there are 1 <= n <= N splits; Error naming a row that is not finite.
InceptionScore inception_score(const FeatureRows& logits, int64_t splits);

}  // namespace terrace
