// Products of some rows of a matrix W, which are read where they lie, and a panel of x: rows of x as the lanes of
// vectors, to which W's elements are broadcast. One element at a time, or pairs of bf16 by the instruction that has
// them. For the .cpp files of tensor/kernels/ only (it takes their instruction set).
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "tensor/base/dtype.h"
#include "tensor/kernels/gemm/panel_packing.h"
#include "tensor/kernels/gemm/panel_product.h"
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace terrace {
namespace {

using Vector = VectorOf<float>::type;

// A block of sums in registers: kRows of W by up to kMostVectors of lanes. Six rows of W lie in six lines of the first
// cache, which may all fall into one set of eight: more would drive each other out.
constexpr int kRows = 6, kMostVectors = kVectorBytes == 64 ? 4 : 2;
constexpr int64_t kPanelLanes = kMostVectors * kLanes<float>;

/// Where sums go: rows of W, the lanes of a panel beside each other. `bias` (of the rows) is what the first block of K
/// starts from; null: what is there.
struct Target {
  float* sums;
  int64_t stride;
  const float* bias;
};

template <int R, int V>
[[gnu::always_inline]] inline void add_to(const Target& target, const Vector (&sum)[R][V]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    auto* out = reinterpret_cast<Vector*>(target.sums + r * target.stride);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) { out[v] = sum[r][v] + (target.bias != nullptr ? Vector{} + target.bias[r] : out[v]); }
  }
}

/// One k at a time, in f32.
struct ByOne {
  using Weight = float;
  using Lane = float;  // of a panel, a k
  static constexpr int64_t kStep = 1;
  static constexpr int64_t kMostApart = 0, kApartRows = 1;

  static void pack(const float* rows, int64_t stride, int64_t count, int64_t depth, int64_t width, Lane* packed) {
    pack_lanes(rows, stride, count, depth, width, packed);
  }

  template <int R, int V>
  static void multiply(int64_t depth, const float* w, int64_t stride, const Lane* panel, const Target& target) {
    Vector sum[R][V] = {};
    for (int64_t k = 0; k < depth; ++k, panel += V * kLanes<float>) {
      Vector right[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) { right[v] = reinterpret_cast<const Vector*>(panel)[v]; }
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) { sum[r][v] += w[r * stride + k] * right[v]; }
      }
    }
    add_to<R, V>(target, sum);
  }
};

#ifdef __AVX512F__
/// A pair of k at a time: its two bf16 of a row of x are one lane.
struct ByPair {
  using Weight = BFloat16;
  using Lane = uint32_t;
  static constexpr int64_t kStep = 2;
  static constexpr int64_t kMostApart = 8, kApartRows = 3;  // rows of x, and of W that are taken with them

  typedef uint32_t Pairs __attribute__((vector_size(64), may_alias));

  /// Sixteen floats as bf16, each in the lower half of its lane.
  [[gnu::target("avx512bf16")]] static Pairs rounded(const float* x) {
    typedef uint16_t Halves __attribute__((vector_size(32)));
    return __builtin_convertvector(reinterpret_cast<Halves>(_mm512_cvtneps_pbh(_mm512_load_ps(x))), Pairs);
  }

  [[gnu::target("avx512bf16")]] static void pack(const float* rows, int64_t stride, int64_t count, int64_t depth,
                                                 int64_t width, Lane* packed) {
    constexpr int64_t kAtATime = 16;
    alignas(64) float wide[kAtATime * kPanelLanes];
    for (int64_t k = 0; k < depth; k += kAtATime) {
      const int64_t some = std::min(kAtATime, depth - k);
      pack_lanes(rows + k, stride, count, some, width, wide);
      for (int64_t pair = 0; pair < some; pair += 2, packed += width) {
        for (int64_t lane = 0; lane < width; lane += 16) {
          const float* at = wide + pair * width + lane;
          *reinterpret_cast<Pairs*>(packed + lane) = rounded(at) | rounded(at + width) << 16;
        }
      }
    }
  }

  template <int R, int V>
  [[gnu::target("avx512bf16")]] static void multiply(int64_t depth, const BFloat16* w, int64_t stride,
                                                     const Lane* panel, const Target& target) {
    typedef int32_t Pair __attribute__((aligned(2), may_alias));
    constexpr int64_t kLine = 32;  // of W
    Vector sum[R][V] = {};
    for (int64_t begin = 0; begin < depth; begin += kLine) {
      for (int r = 0; r < R; ++r) { __builtin_prefetch(w + (R + r) * stride + begin); }
      const int64_t end = std::min(begin + kLine, depth);
      for (int64_t k = begin; k < end; k += 2, panel += V * 16) {
        __m512bh right[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) { right[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(panel + v * 16)); }
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
          const auto left =
              reinterpret_cast<__m512bh>(_mm512_set1_epi32(*reinterpret_cast<const Pair*>(w + r * stride + k)));
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) { sum[r][v] = _mm512_dpbf16_ps(sum[r][v], left, right[v]); }
        }
      }
    }
    add_to<R, V>(target, sum);
  }

  /// A row of x, rounded; zeros up to whole vectors of 32.
  [[gnu::target("avx512bf16")]] static void round_row(const float* x, int64_t depth, BFloat16* rounded_row) {
    int64_t k = 0;
    for (; k + 16 <= depth; k += 16) {
      reinterpret_cast<__m256bh*>(rounded_row + k)[0] = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + k));
    }
    for (; k < depth; ++k) { rounded_row[k] = BFloat16(x[k]); }
    for (; k % 32 != 0; ++k) { rounded_row[k] = BFloat16(0.0f); }
  }

  /// Of a vector's elements, by halves.
  [[gnu::always_inline]] static inline float total(Vector x) {
    typedef float Four __attribute__((vector_size(16)));
    const Eight eight = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const Four four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
  }

  /// 32 k, those of the mask.
  template <int R, int T>
  [[gnu::target("avx512bf16"), gnu::always_inline]] static inline void add_apart(__mmask32 mask, const BFloat16* w,
                                                                                 int64_t stride, const BFloat16* x,
                                                                                 int64_t x_stride,
                                                                                 Vector (&sum)[R][T]) {
    __m512bh right[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) { right[t] = reinterpret_cast<__m512bh>(_mm512_load_si512(x + t * x_stride)); }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      __builtin_prefetch(w + (R + r) * stride);
      const auto left = reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(mask, w + r * stride));
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) { sum[r][t] = _mm512_dpbf16_ps(sum[r][t], left, right[t]); }
    }
  }

  /// sums[r * sums_stride + t] = the product of rows r of W and t of x, 32 k of both at a time. x is of round_row(),
  /// `x_stride` apart.
  template <int R, int T>
  [[gnu::target("avx512bf16")]] static void multiply_apart(int64_t depth, const BFloat16* w, int64_t stride,
                                                           const BFloat16* x, int64_t x_stride, float* sums,
                                                           int64_t sums_stride) {
    Vector sum[R][T] = {};
    int64_t k = 0;
    for (; k + 32 <= depth; k += 32) { add_apart<R, T>(~__mmask32{0}, w + k, stride, x + k, x_stride, sum); }
    if (k < depth) { add_apart<R, T>((__mmask32{1} << (depth - k)) - 1, w + k, stride, x + k, x_stride, sum); }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) { sums[r * sums_stride + t] = total(sum[r][t]); }
    }
  }
};
#endif

template <class Way>
using MultiplyApart = void (*)(int64_t, const typename Way::Weight*, int64_t, const typename Way::Weight*, int64_t,
                               float*, int64_t);

template <class Way, int R, int... T>
constexpr MultiplyApart<Way> multiply_apart_of(int64_t rows_of_x, std::integer_sequence<int, T...>) {
  constexpr MultiplyApart<Way> kCounts[] = {&Way::template multiply_apart<R, T + 1>...};
  return kCounts[rows_of_x - 1];
}

template <class Way>
MultiplyApart<Way> multiply_apart_of(int64_t rows, int64_t rows_of_x) {
  constexpr auto kCounts = std::make_integer_sequence<int, Way::kMostApart>{};
  if (rows == 3) { return multiply_apart_of<Way, 3>(rows_of_x, kCounts); }
  return rows == 2 ? multiply_apart_of<Way, 2>(rows_of_x, kCounts) : multiply_apart_of<Way, 1>(rows_of_x, kCounts);
}

template <class Way>
using Multiply = void (*)(int64_t, const typename Way::Weight*, int64_t, const typename Way::Lane*, const Target&);

template <class Way, int V, int... R>
constexpr Multiply<Way> multiply_of(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr Multiply<Way> kRowCounts[] = {&Way::template multiply<R + 1, V>...};
  return kRowCounts[rows - 1];
}

template <class Way>
Multiply<Way> multiply_of(int64_t rows, int64_t vectors) {
  constexpr auto kCounts = std::make_integer_sequence<int, kRows>{};
  if constexpr (kMostVectors == 4) {
    if (vectors == 4) { return multiply_of<Way, 4>(rows, kCounts); }
    if (vectors == 3) { return multiply_of<Way, 3>(rows, kCounts); }
  }
  return vectors == 2 ? multiply_of<Way, 2>(rows, kCounts) : multiply_of<Way, 1>(rows, kCounts);
}

}  // namespace
}  // namespace terrace
