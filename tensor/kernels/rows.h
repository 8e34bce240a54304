// What kernels over rows share: sums, maxima, and writing results past the cache. Included by the kernels' .cpp files
// only, which are compiled once per instruction set; hence the anonymous namespace.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace terrace {
namespace {

constexpr int64_t kParallelElements = 16384;  // below it starting the threads costs more than they save

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
  for (int64_t i = 0; i < bytes / 64; ++i) _mm512_stream_si512(out + i, _mm512_load_si512(in + i));
#else
  auto* out = static_cast<__m256i*>(to);
  const auto* in = static_cast<const __m256i*>(from);
  for (int64_t i = 0; i < bytes / 32; ++i) _mm256_stream_si256(out + i, _mm256_load_si256(in + i));
#endif
}

/// Streaming stores are ordered with nothing: every thread that streamed calls this before the others may read.
inline void stream_fence(bool streamed) {
  if (streamed) _mm_sfence();
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
    for (int64_t i = 0; i < cols; ++i) slot(y[i]) = stored<T>(f(i));
    return;
  }
  alignas(kLineBytes) T block[kStreamBlock];
  for (int64_t begin = 0; begin < cols; begin += kStreamBlock) {
    const int64_t count = cols - begin < kStreamBlock ? cols - begin : kStreamBlock;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) slot(block[i]) = stored<T>(f(begin + i));
    stream_lines(y + begin, block, count * static_cast<int64_t>(sizeof(T)));
  }
}

/// Sum of f(i), in an order that depends on `cols` alone.
template <class A, class F>
inline A row_sum(int64_t cols, const F& f) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < cols; ++i) sum += f(i);
  return sum;
}

/// Largest element; NaN is passed over (it reaches the result through the sums that follow), -inf for nothing else.
template <class A, class T>
inline A row_max(const T* x, int64_t cols) {
  A largest = -__builtin_inf();
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < cols; ++i) largest = static_cast<A>(x[i]) > largest ? static_cast<A>(x[i]) : largest;
  return largest;
}

}  // namespace
}  // namespace terrace
