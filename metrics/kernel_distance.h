// The Kernel Inception Distance (Binkowski et al. 2018): the squared maximum mean discrepancy of two sets of features
// under the kernel k(x, y) = (x.y / d + 1)^3, in f64.
#pragma once

#include <cstdint>

#include "metrics/feature_rows.h"

namespace terrace {

/// sum_{i != j} k(x_i, x_j) / (m (m-1)) + sum_{i != j} k(y_i, y_j) / (n (n-1)) - 2 sum_ij k(x_i, y_j) / (m n):
/// unbiased, so that it may be below zero. All pairs, in tiles. Throws ShapeError; ConfigError for sets of fewer than
/// two.
double kernel_distance(const FeatureRows& x, const FeatureRows& y);

struct KernelSubsets {
  int64_t count = 100, size = 1000;  // size: at most, of either set
  uint64_t seed = 0;
};

struct KernelDistance {
  double mean = 0, deviation = 0;  // over the subsets; the population's deviation
  int64_t subsets = 0, size = 0;   // that were taken
};

/// Mean over pairs of subsets of equal size, drawn without repetition within a subset: what published figures are.
/// Where a subset is both whole sets there is but one. Throws as above; ConfigError where there is no subset.
KernelDistance kernel_distance_of_subsets(const FeatureRows& x, const FeatureRows& y, const KernelSubsets& subsets);

}  // namespace terrace
