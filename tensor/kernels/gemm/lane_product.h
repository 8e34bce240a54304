// Microkernels for products of some rows of a matrix W, read in place, and a panel of x: the rows of x are the lanes of
// vectors, and W's elements are broadcast to all lanes. F32Fma multiplies single f32 elements, Bf16Dot pairs of bf16.
// For the .cpp files of tensor/kernels/ only, whose instruction set it is compiled for.
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

// A block of sums in registers: kRows rows of W by up to kMaxVectors vectors of lanes. Six rows of W occupy six lines
// of the L1 cache, which may all map to one set; a set has eight ways, so more rows could evict each other.
constexpr int kRows = 6, kMaxVectors = kVectorBytes == 64 ? 4 : 2;
constexpr int64_t kPanelLanes = kMaxVectors * kLanes<float>;

/// Where sums are stored: row r of W at sums + r * stride, one element for each lane. The first block of K adds `bias`,
/// one element for each row of W; for later blocks `bias` is null and the sums are added to what is stored.
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

// The traits of a microkernel, for the template parameter Micro: the stored types, kStep elements of K multiplied at a
// time, pack(), multiply(), and how many rows of x may be left for multiply_tail().

/// f32 elements, one k at a time, by fused multiply-add.
struct F32Fma {
  using Weight = float;
  using Lane = float;  // of a panel: one row's element of one k
  static constexpr int64_t kStep = 1;
  static constexpr int64_t kMaxTail = 0, kTailWeightRows = 1;

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
/// Pairs of bf16 along K, multiplied and summed in f32 by AVX512-BF16's dot product: a lane holds a row's pair.
struct Bf16Dot {
  using Weight = BFloat16;
  using Lane = uint32_t;
  static constexpr int64_t kStep = 2;
  static constexpr int64_t kMaxTail = 8, kTailWeightRows = 3;  // rows of x, and of W multiplied by them at a time

  typedef uint32_t Pairs __attribute__((vector_size(64), may_alias));

  /// Sixteen floats rounded to bf16, each in the lower half of its lane.
  [[gnu::target("avx512bf16")]] static Pairs round_to_bf16(const float* x) {
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
          *reinterpret_cast<Pairs*>(packed + lane) = round_to_bf16(at) | round_to_bf16(at + width) << 16;
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

  /// Rounds a row of x to bf16 and pads it with zeros to whole vectors of 32.
  [[gnu::target("avx512bf16")]] static void round_row(const float* x, int64_t depth, BFloat16* rounded_row) {
    int64_t k = 0;
    for (; k + 16 <= depth; k += 16) {
      reinterpret_cast<__m256bh*>(rounded_row + k)[0] = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + k));
    }
    for (; k < depth; ++k) { rounded_row[k] = BFloat16(x[k]); }
    for (; k % 32 != 0; ++k) { rounded_row[k] = BFloat16(0.0f); }
  }

  /// The sum of a vector's elements: its halves are added, then their halves, and so on.
  [[gnu::always_inline]] static inline float horizontal_sum(Vector x) {
    typedef float Four __attribute__((vector_size(16)));
    const Eight eight = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const Four four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
  }

  /// Adds the products of 32 k; elements of W outside the mask count as 0 and are not read.
  template <int R, int T>
  [[gnu::target("avx512bf16"), gnu::always_inline]] static inline void add_tail(__mmask32 mask, const BFloat16* w,
                                                                                int64_t stride, const BFloat16* x,
                                                                                int64_t x_stride, Vector (&sum)[R][T]) {
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

  /// sums[r * sums_stride + t] = the dot product of row r of W and row t of x, 32 k of both at a time. Rows of x come
  /// from round_row() and lie `x_stride` apart.
  template <int R, int T>
  [[gnu::target("avx512bf16")]] static void multiply_tail(int64_t depth, const BFloat16* w, int64_t stride,
                                                          const BFloat16* x, int64_t x_stride, float* sums,
                                                          int64_t sums_stride) {
    Vector sum[R][T] = {};
    int64_t k = 0;
    for (; k + 32 <= depth; k += 32) { add_tail<R, T>(~__mmask32{0}, w + k, stride, x + k, x_stride, sum); }
    if (k < depth) { add_tail<R, T>((__mmask32{1} << (depth - k)) - 1, w + k, stride, x + k, x_stride, sum); }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) { sums[r * sums_stride + t] = horizontal_sum(sum[r][t]); }
    }
  }
};
#endif

template <class Micro>
using MultiplyTail = void (*)(int64_t, const typename Micro::Weight*, int64_t, const typename Micro::Weight*, int64_t,
                              float*, int64_t);

template <class Micro, int R, int... T>
constexpr MultiplyTail<Micro> multiply_tail_of(int64_t rows_of_x, std::integer_sequence<int, T...>) {
  constexpr MultiplyTail<Micro> kCounts[] = {&Micro::template multiply_tail<R, T + 1>...};
  return kCounts[rows_of_x - 1];
}

template <class Micro>
MultiplyTail<Micro> multiply_tail_of(int64_t rows, int64_t rows_of_x) {
  constexpr auto kCounts = std::make_integer_sequence<int, Micro::kMaxTail>{};
  if (rows == 3) { return multiply_tail_of<Micro, 3>(rows_of_x, kCounts); }
  return rows == 2 ? multiply_tail_of<Micro, 2>(rows_of_x, kCounts) : multiply_tail_of<Micro, 1>(rows_of_x, kCounts);
}

template <class Micro>
using Multiply = void (*)(int64_t, const typename Micro::Weight*, int64_t, const typename Micro::Lane*, const Target&);

template <class Micro, int V, int... R>
constexpr Multiply<Micro> multiply_of(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr Multiply<Micro> kRowCounts[] = {&Micro::template multiply<R + 1, V>...};
  return kRowCounts[rows - 1];
}

template <class Micro>
Multiply<Micro> multiply_of(int64_t rows, int64_t vectors) {
  constexpr auto kCounts = std::make_integer_sequence<int, kRows>{};
  if constexpr (kMaxVectors == 4) {
    if (vectors == 4) { return multiply_of<Micro, 4>(rows, kCounts); }
    if (vectors == 3) { return multiply_of<Micro, 3>(rows, kCounts); }
  }
  return vectors == 2 ? multiply_of<Micro, 2>(rows, kCounts) : multiply_of<Micro, 1>(rows, kCounts);
}

}  // namespace
}  // namespace terrace
