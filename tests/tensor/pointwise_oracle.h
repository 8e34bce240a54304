// What the formulas of tensor/base/formulas.h mean, in terms of the C++ library and in long double: their oracle in
// tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/base/formulas.h"

namespace terrace {

using Real = long double;

inline Real definition(const Exp&, Real x) { return std::exp(x); }
inline Real definition(const Log&, Real x) { return std::log(x); }
inline Real definition(const Sqrt&, Real x) { return std::sqrt(x); }
inline Real definition(const Square&, Real x) { return std::pow(x, Real(2)); }
inline Real definition(const Neg&, Real x) { return 0 - x; }
inline Real definition(const Abs&, Real x) { return std::fabs(x); }
inline Real definition(const Tanh&, Real x) { return std::tanh(x); }
inline Real definition(const Sigmoid&, Real x) { return std::exp(x) / (std::exp(x) + 1); }
inline Real definition(const Silu&, Real x) { return x * std::exp(x) / (std::exp(x) + 1); }
inline Real definition(const GeluTanh&, Real x) {
  const Real u = std::sqrt(2 / std::numbers::pi_v<Real>) * (x + 0.044715L * std::pow(x, Real(3)));
  return x / 2 * (1 + std::tanh(u));
}
inline Real definition(const GeluErf&, Real x) { return x / 2 * std::erfc(-x / std::numbers::sqrt2_v<Real>); }
inline Real definition(const Relu&, Real x) { return std::fmax(x, Real(0)); }
inline Real definition(const LeakyRelu& op, Real x) { return std::fmax(x, Real(0)) + op.slope * std::fmin(x, Real(0)); }
inline Real definition(const Clamp& op, Real x) { return std::clamp(x, Real(op.low), Real(op.high)); }
inline Real definition(const Scale& op, Real x) { return op.factor * x; }
inline Real definition(const AddScalar& op, Real x) { return op.term + x; }

inline Real definition(const Add&, Real a, Real b) { return a + b; }
inline Real definition(const Sub&, Real a, Real b) { return a - b; }
inline Real definition(const Mul&, Real a, Real b) { return a * b; }
inline Real definition(const Div&, Real a, Real b) { return a / b; }
inline Real definition(const Maximum&, Real a, Real b) { return std::fmax(a, b); }
inline Real definition(const Minimum&, Real a, Real b) { return std::fmin(a, b); }

/// Central difference of f at x: off by less than 1e-10 of the slope for the functions above on their sample ranges.
template <class F>
Real slope_of(F&& f, Real x) {
  constexpr Real kStep = 1e-6L;
  return (f(x + kStep) - f(x - kStep)) / (2 * kStep);
}

}  // namespace terrace
