// Measuring time: that of one call, the median of many, and what a call typically takes.
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

/// The typical time of a call: it is called twice to warm up, then up to `most` times, until `limit` seconds are used,
/// once at least. The median does not see the moments in which other programs have the processor.
template <class F>
double typical_seconds(double limit, int most, const F& f) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 2; ++i) { f(); }
  std::vector<double> seconds;
  do {
    seconds.push_back(seconds_of(f));
  } while (static_cast<int>(seconds.size()) < most && seconds_since(start) < limit);
  return median(seconds);
}

}  // namespace terrace
