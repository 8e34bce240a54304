#include "experiments/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "tensor/base/mean_deviation.h"

namespace terrace {
namespace {

/// Continued fraction of the incomplete beta function by Lentz's method (Abramowitz and Stegun 26.5.8).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m <= 300; ++m) {
    for (const double term : {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                              -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + term * d;
      d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      c = std::fabs(c) < kTiny ? kTiny : c;
      value *= c * d;
    }
    if (std::fabs(c * d - 1) < 1e-15) { break; }
  }
  return value;
}

/// Regularized incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) { return 0; }
  if (x >= 1) { return 1; }
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  // The fraction converges fast only on this side of the mean.
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double Spread::standard_error() const { return count > 0 ? sd / std::sqrt(static_cast<double>(count)) : 0; }

Spread spread_of(const std::vector<double>& all) {
  Spread spread;
  std::vector<double> values;
  for (const double v : all) {
    if (std::isfinite(v)) { values.push_back(v); }
  }
  spread.count = static_cast<int64_t>(values.size());
  if (values.empty()) {
    spread.mean = std::numeric_limits<double>::quiet_NaN();
    return spread;
  }
  spread.mean = mean_of(values);
  spread.sd = deviation_of(values, spread.mean, 1);
  return spread;
}

std::string format_fixed(double value, int decimals) {
  if (!std::isfinite(value)) { return "–"; }
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string format_spread(const Spread& spread, int decimals) {
  std::string text = format_fixed(spread.mean, decimals);
  if (spread.count > 1) { text += " ± " + format_fixed(spread.sd, decimals); }
  return text;
}

double student_two_sided_p(double t, double df) {
  if (std::isnan(t) || df <= 0) { return std::numeric_limits<double>::quiet_NaN(); }
  return incomplete_beta(df / 2, 0.5, df / (df + t * t));
}

double student_critical(double p, double df) {
  double low = 0, high = 1;
  while (student_two_sided_p(high, df) > p && high < 1e12) { high *= 2; }
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (student_two_sided_p(middle, df) > p ? low : high) = middle;
  }
  return (low + high) / 2;
}

Interval wilson_interval(double hits, double count) {
  if (!(count > 0)) { return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()}; }
  constexpr double kNormal = 1.959963984540054;  // 97.5 % quantile
  const double share = hits / count, z = kNormal * kNormal / count;
  const double middle = (share + z / 2) / (1 + z);
  const double reach = kNormal * std::sqrt(share * (1 - share) / count + z / (4 * count)) / (1 + z);
  return {std::max(0.0, middle - reach), std::min(1.0, middle + reach)};
}

PairedComparison compare_pairs(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> differences;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) { differences.push_back(b[i] - a[i]); }
  PairedComparison result;
  result.difference = spread_of(differences);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (result.difference.count < 2) {
    result.low = -kInfinity;
    result.high = kInfinity;
    result.p = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  const double df = static_cast<double>(result.difference.count - 1), error = result.difference.standard_error();
  const double reach = student_critical(0.05, df) * error;
  result.low = result.difference.mean - reach;
  result.high = result.difference.mean + reach;
  // Without any spread a difference is either exactly nothing or beyond doubt.
  result.p =
      error > 0 ? student_two_sided_p(result.difference.mean / error, df) : (result.difference.mean == 0 ? 1 : 0);
  return result;
}

}  // namespace terrace
