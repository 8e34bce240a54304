#include "tensor/base/mean_deviation.h"

#include <cmath>

namespace terrace {

double mean_of(std::span<const double> values) {
  double mean = 0;
  for (const double v : values) { mean += v / static_cast<double>(values.size()); }
  return mean;
}

double deviation_of(std::span<const double> values, double mean, int64_t correction) {
  const int64_t freedom = static_cast<int64_t>(values.size()) - correction;
  if (freedom <= 0) { return 0; }
  double squares = 0;
  for (const double v : values) { squares += (v - mean) * (v - mean); }
  return std::sqrt(squares / static_cast<double>(freedom));
}

}  // namespace terrace
