// Means over seeds, and how far they can be told apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terrace {

/// Mean and sample standard deviation (n - 1 in the denominator; 0 for one value) of the finite values; NaN for none.
/// What was not measured is NaN and does not count.
struct Spread {
  double mean = 0, sd = 0;
  int64_t count = 0;
  double standard_error() const;
};
Spread spread_of(const std::vector<double>& values);

/// "0.842 ± 0.013"; "0.842" for one value; "–" for none.
std::string format_spread(const Spread& spread, int decimals);
std::string format_fixed(double value, int decimals);

/// Differences b[i] - a[i] of runs that share seed i, with the two-sided p of Student's paired t-test and the 95 %
/// confidence interval of the mean difference. Without at least two pairs p is NaN and the interval infinite.
struct PairedComparison {
  Spread difference;
  double low = 0, high = 0, p = 1;
};
PairedComparison compare_pairs(const std::vector<double>& a, const std::vector<double>& b);

/// 95 % interval of a share by Wilson's score method (Wilson 1927), from `hits` of `count` draws; NaN without draws.
struct Interval {
  double low = 0, high = 0;
};
Interval wilson_interval(double hits, double count);

/// P(|T| > t) for Student's t with `df` degrees of freedom.
double student_two_sided_p(double t, double df);
/// The t with P(|T| > t) = p.
double student_critical(double p, double df);

}  // namespace terrace
