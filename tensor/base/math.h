// Elementary functions that a compiler can vectorise: branch-free scalar code on float, without calls or tables.
// The double overloads are the C library's: they serve gradcheck and metrics, where accuracy is the point.
//
// Accuracy of the float versions, over the whole range, against double (tests/tensor/base/math.cpp measures it):
// exp 1 ulp, log 1 ulp, tanh 2 ulp, erf 2 ulp. NaN in gives NaN out; exp overflows to inf and underflows to 0.
// In device code they are CUDA's (exp 1 ulp, log 1, tanh 2, erf 2).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor/base/host_device.h"

namespace terrace::math {

TERRACE_HD inline double exp(double x) { return std::exp(x); }
TERRACE_HD inline double log(double x) { return std::log(x); }
TERRACE_HD inline double tanh(double x) { return std::tanh(x); }
TERRACE_HD inline double erf(double x) { return std::erf(x); }
TERRACE_HD inline double sqrt(double x) { return std::sqrt(x); }
TERRACE_HD inline float sqrt(float x) { return std::sqrt(x); }

/// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2; e^r by a degree-6 minimax-like Taylor polynomial.
/// 2^n is applied as two factors, so that results down to the subnormals and up to the largest float are right.
TERRACE_HD inline float exp(float x) {
#ifdef __CUDA_ARCH__
  return ::expf(x);
#else
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // 10 bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440054690583e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
  float z = x > 89.0f ? 89.0f : x;       // a NaN passes both comparisons unchanged
  z = z < -104.0f ? -104.0f : z;
  const float shifted = z * kLog2e + kRound;
  const float n = shifted - kRound;
  float r = z - n * kLn2High;
  r = r - n * kLn2Low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  const int32_t k = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const int32_t half = k >> 1;
  const float scale_a = std::bit_cast<float>((half + 127) << 23);
  const float scale_b = std::bit_cast<float>((k - half + 127) << 23);
  return p * scale_a * scale_b;
#endif
}

/// ln x = n ln 2 + ln m with m in [sqrt(1/2), sqrt(2)); ln m by the series of atanh((m-1)/(m+1)).
/// ln 0 = -inf, of a negative number NaN, of inf inf.
TERRACE_HD inline float log(float x) {
#ifdef __CUDA_ARCH__
  return ::logf(x);
#else
  constexpr float kMinNormal = 1.17549435e-38f;
  const bool tiny = x < kMinNormal;  // subnormals are scaled into the normal range
  const float y = tiny ? x * 8388608.0f : x;
  const int32_t bits = std::bit_cast<int32_t>(y);
  const int32_t e = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - e * (1 << 23));
  const float n = static_cast<float>(e) - (tiny ? 23.0f : 0.0f);
  const float f = m - 1.0f;
  const float s = f / (2.0f + f);
  const float s2 = s * s;
  float p = 2.0f / 9.0f;
  p = p * s2 + 2.0f / 7.0f;
  p = p * s2 + 2.0f / 5.0f;
  p = p * s2 + 2.0f / 3.0f;
  const float half_square = 0.5f * f * f;
  const float log_m = f - (half_square - s * (half_square + s2 * p));
  float result = n * 0.693145751953125f + (log_m + n * 1.42860677e-6f);
  result = x == 0.0f ? -std::numeric_limits<float>::infinity() : result;
  result = x < 0.0f ? std::numeric_limits<float>::quiet_NaN() : result;
  result = x == std::numeric_limits<float>::infinity() ? x : result;
  return x != x ? x : result;
#endif
}

/// tanh x = 1 - 2 / (e^2x + 1); near zero, where that cancels, x plus an odd polynomial.
TERRACE_HD inline float tanh(float x) {
#ifdef __CUDA_ARCH__
  return ::tanhf(x);
#else
  const float a = std::fabs(x);
  const float large = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
  const float x2 = x * x;
  // Degree-13 odd minimax polynomial on |x| <= 0.625 (coefficients of Cephes' tanhf).
  float p = -5.70498872745e-3f;
  p = p * x2 + 2.06390887954e-2f;
  p = p * x2 - 5.37397155531e-2f;
  p = p * x2 + 1.33314422036e-1f;
  p = p * x2 - 3.33332819422e-1f;
  const float small = x + x * x2 * p;
  const float signed_large = std::copysign(large, x);
  return a < 0.625f ? small : (x != x ? x : signed_large);
#endif
}

/// erf in two ranges: |x| < 1 by its Maclaurin series; else 1 - erfc, with erfc(a) = t exp(-a^2 + P(t)).
TERRACE_HD inline float erf(float x) {
#ifdef __CUDA_ARCH__
  return ::erff(x);
#else
  const float a = std::fabs(x);
  // Maclaurin series of erf(x)/x up to x^20, exact to float precision for |x| < 1.
  const float x2 = x * x;
  float s = 1.0f / 76204800.0f;
  s = s * x2 - 1.0f / 6894720.0f;
  s = s * x2 + 1.0f / 685440.0f;
  s = s * x2 - 1.0f / 75600.0f;
  s = s * x2 + 1.0f / 9360.0f;
  s = s * x2 - 1.0f / 1320.0f;
  s = s * x2 + 1.0f / 216.0f;
  s = s * x2 - 1.0f / 42.0f;
  s = s * x2 + 0.1f;
  s = s * x2 - 1.0f / 3.0f;
  const float small = 1.12837916709551257f * (x + x * x2 * s);
  // erfc(a) = t exp(-a^2 + P(t)), t = 1/(1 + a/2): relative error below 1.2e-7 (Chebyshev fit of W. J. Cody's form).
  const float t = 1.0f / (1.0f + 0.5f * a);
  float p = 0.17087277f;
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  const float large = std::copysign(1.0f - t * exp(p - a * a), x);
  return a < 1.0f ? small : (x != x ? x : large);
#endif
}

}  // namespace terrace::math
