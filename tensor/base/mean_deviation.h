// Mean and standard deviation of a few values, as reports and scores give them.
#pragma once

#include <cstdint>
#include <span>

namespace terrace {

/// sum_i x_i / n, each term divided before it is added; 0 without values.
double mean_of(std::span<const double> values);

/// sqrt(sum_i (x_i - mean)^2 / (n - correction)), as torch.std names it: with correction 1 the sample's deviation
/// (Bessel), with 0 the population's. 0 where n <= correction.
double deviation_of(std::span<const double> values, double mean, int64_t correction);

}  // namespace terrace
