// Measuring time: that of one call, and the median of many.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <vector>

namespace terrace {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class F>
double seconds_of(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return seconds_since(start);
}

/// The upper of the two middle values where their number is even; NaN without values.
inline double median(std::vector<double> values) {
  if (values.empty()) { return std::numeric_limits<double>::quiet_NaN(); }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace terrace
