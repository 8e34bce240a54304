// What kernels over rows share: sums, maxima, and writing results past the cache. Included by the kernels' .cpp files
// only, which are compiled once per instruction set; hence the anonymous namespace.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/base/dtype.h"
#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

/// Outputs beyond the cache are written by streaming stores: a plain store first reads the line that it is about to
/// replace, which for a kernel that reads one array and writes another is a third of all traffic.
constexpr int64_t kStreamBytes = int64_t{48} << 20;
constexpr int64_t kStreamBlock = 2048;  // elements computed in the first-level cache before they are streamed out
constexpr int64_t kLineBytes = 64;

/// True if rows of `cols` elements are to be streamed to `y`: a large array of whole cache lines.
template <class T>
bool should_stream(const T* y, int64_t rows, int64_t cols) {
  const int64_t row_bytes = cols * static_cast<int64_t>(sizeof(T));
  return rows * row_bytes >= kStreamBytes && row_bytes % kLineBytes == 0 &&
         reinterpret_cast<uintptr_t>(y) % kLineBytes == 0;
}

/// Streams `bytes`, whole lines, both pointers aligned to lines.
inline void stream_lines(void* to, const void* from, int64_t bytes) {
#ifdef __AVX512F__
  auto* out = static_cast<__m512i*>(to);
  const auto* in = static_cast<const __m512i*>(from);
  for (int64_t i = 0; i < bytes / 64; ++i) { _mm512_stream_si512(out + i, _mm512_load_si512(in + i)); }
#else
  auto* out = static_cast<__m256i*>(to);
  const auto* in = static_cast<const __m256i*>(from);
  for (int64_t i = 0; i < bytes / 32; ++i) { _mm256_stream_si256(out + i, _mm256_load_si256(in + i)); }
#endif
}

/// Streaming stores are ordered with nothing: every thread that streamed calls this before the others may read.
inline void stream_fence(bool streamed) {
  if (streamed) { _mm_sfence(); }
}

/// The form in which a T is stored: a struct would keep the compiler from vectorising the loop around it.
template <class T, class A>
inline auto stored(A value) {
  if constexpr (sizeof(T) == sizeof(uint16_t)) {
    return T(value).bits;
  } else {
    return static_cast<T>(value);
  }
}
template <class T>
inline T& slot(T& element) {
  return element;
}
inline uint16_t& slot(BFloat16& element) { return element.bits; }

/// y[i] = f(i) for one row. `stream` as should_stream() says for the whole array.
template <class T, class F>
inline void write_row(T* y, int64_t cols, bool stream, const F& f) {
  if (!stream) {
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) { slot(y[i]) = stored<T>(f(i)); }
    return;
  }
  alignas(kLineBytes) T block[kStreamBlock];
  for (int64_t begin = 0; begin < cols; begin += kStreamBlock) {
    const int64_t count = cols - begin < kStreamBlock ? cols - begin : kStreamBlock;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) { slot(block[i]) = stored<T>(f(begin + i)); }
    stream_lines(y + begin, block, count * static_cast<int64_t>(sizeof(T)));
  }
}

/// e^x for x <= 0, what softmax needs of it: half the work of math::exp. Below -87, where e^x is about the smallest
/// normal number, and for -inf it is exactly 0; NaN stays NaN. Within 1 ulp elsewhere.
///
/// e^x = 2^n e^r with n = round(x / ln 2); e^r = 1 + r + r^2 q(r), q fitted to |r| <= ln 2 / 2 for the least relative
/// error, 3e-9. kRound puts n + 127, the exponent field of 2^n, into the low bits of the sum's mantissa.
inline float exp_nonpositive(float x) {
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // 10 bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440054690583e-4f;
  constexpr float kRound = 12582912.0f + 127.0f;  // 1.5 * 2^23 + 127
  const float shifted = x * kLog2e + kRound;
  const float n = shifted - kRound;
  float r = x - n * kLn2High;
  r = r - n * kLn2Low;
  float p = 1.3813144e-3f;
  p = p * r + 8.3694188e-3f;
  p = p * r + 4.1668456e-2f;
  p = p * r + 0.16666515f;
  p = p * r + 0.49999994f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float scale = std::bit_cast<float>(std::bit_cast<uint32_t>(shifted) << 23);
  return x < -87.0f ? 0.0f : p * scale;
}
inline double exp_nonpositive(double x) { return std::exp(x); }

/// Sum of f(i), in an order that depends on `cols` alone.
template <class A, class F>
inline A row_sum(int64_t cols, const F& f) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < cols; ++i) { sum += f(i); }
  return sum;
}

/// Largest element; NaN is passed over (it reaches the result through the sums that follow), -inf for nothing else.
template <class A, class T>
inline A row_max(const T* x, int64_t cols) {
  A largest = -__builtin_inf();
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < cols; ++i) { largest = static_cast<A>(x[i]) > largest ? static_cast<A>(x[i]) : largest; }
  return largest;
}

}  // namespace
}  // namespace terrace
