// Panels of rows for products: a panel of `width` rows of a matrix (rows, depth) lies by k, packed[k * width + row].
// For the .cpp files of tensor/kernels/ only (it takes their instruction set).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "tensor/base/dtype.h"

namespace terrace {
namespace {

typedef float Eight __attribute__((vector_size(32)));
typedef float UnalignedEight __attribute__((vector_size(32), aligned(4), may_alias));

[[gnu::always_inline]] inline Eight load_eight(const float* x) { return *reinterpret_cast<const UnalignedEight*>(x); }

[[gnu::always_inline]] inline Eight load_eight(const BFloat16* x) {
  typedef uint16_t Bits __attribute__((vector_size(16), aligned(2), may_alias));
  typedef uint32_t Wide __attribute__((vector_size(32)));
  const Wide wide = __builtin_convertvector(*reinterpret_cast<const Bits*>(x), Wide) << 16;
  return std::bit_cast<Eight>(wide);
}

[[gnu::always_inline]] inline void store_eight(float* x, Eight value) { *reinterpret_cast<UnalignedEight*>(x) = value; }

/// The eight rows become eight columns.
[[gnu::always_inline]] inline void transpose(Eight (&x)[8]) {
  Eight t[8], u[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[2 * i + 1] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      u[4 * i + 2 * j] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
      u[4 * i + 2 * j + 1] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    x[i] = __builtin_shufflevector(u[i], u[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
    x[4 + i] = __builtin_shufflevector(u[i], u[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// `count` rows, `stride` apart, to a panel of as many lanes. Eight columns are turned at a time; where the count is no
/// multiple of eight, what a store writes beyond its k is overwritten by the next (beyond the last: up to seven floats,
/// for which `packed` must have room).
template <int64_t kMostRows>
void pack_across(const float* rows, int64_t stride, int64_t count, int64_t depth, float* packed) {
  constexpr int64_t kGroups = (kMostRows + 7) / 8;
  const int64_t groups = (count + 7) / 8;
  int64_t k = 0;
  for (; k + 8 <= depth; k += 8) {
    Eight x[kGroups][8];
    for (int64_t g = 0; g < groups; ++g) {
#pragma GCC unroll 8
      for (int64_t r = 0; r < 8; ++r) { x[g][r] = load_eight(rows + std::min(8 * g + r, count - 1) * stride + k); }
      transpose(x[g]);
    }
    for (int64_t i = 0; i < 8; ++i) {
      for (int64_t g = 0; g < groups; ++g) { store_eight(packed + (k + i) * count + 8 * g, x[g][i]); }
    }
  }
  for (; k < depth; ++k) {
    for (int64_t r = 0; r < count; ++r) { packed[k * count + r] = rows[r * stride + k]; }
  }
}

/// `count` rows, `stride` apart, to a panel of `width` lanes, whole eights; past the last row it is repeated. A cache
/// line of each row is taken at a time: the rows may all fall into one set of the first cache.
inline void pack_lanes(const float* rows, int64_t stride, int64_t count, int64_t depth, int64_t width, float* packed) {
  constexpr int64_t kLine = 16;
  int64_t k = 0;
  for (; k + kLine <= depth; k += kLine) {
    for (int64_t lane = 0; lane < width; lane += 8) {
      Eight x[2][8];
#pragma GCC unroll 8
      for (int64_t r = 0; r < 8; ++r) {
        const float* row = rows + std::min(lane + r, count - 1) * stride + k;
        x[0][r] = load_eight(row);
        x[1][r] = load_eight(row + 8);
      }
      transpose(x[0]);
      transpose(x[1]);
      for (int64_t i = 0; i < kLine; ++i) { store_eight(packed + (k + i) * width + lane, x[i / 8][i % 8]); }
    }
  }
  for (; k < depth; ++k) {
    for (int64_t lane = 0; lane < width; ++lane) {
      packed[k * width + lane] = rows[std::min(lane, count - 1) * stride + k];
    }
  }
}

/// A number of things cut into parts of at most `largest`, whole units each, as evenly as can be: a short last panel
/// would have too few sums to hide the latency of one.
struct Parts {
  Parts(int64_t extent, int64_t largest, int64_t unit_size)
      : n(extent), unit(unit_size), count((extent + largest - 1) / largest) {}
  int64_t begin(int64_t i) const { return std::min(n, i * ((n + unit - 1) / unit) / count * unit); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t n, unit, count;
};

}  // namespace
}  // namespace terrace
