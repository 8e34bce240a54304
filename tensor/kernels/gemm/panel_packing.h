// Panels of rows for products: a panel holds `width` rows of a matrix (rows, depth) as packed[k * width + row].
// For the .cpp files of tensor/kernels/ only, whose instruction set it is compiled for.
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

/// Transposes 8 x 8 elements in place.
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

/// Packs `count` rows, `stride` apart, into a panel of as many lanes. Eight columns are transposed at a time. Where the
/// count is no multiple of eight, a store of eight writes past the lanes of its k, and the store for the next k
/// overwrites that; `packed` must have room for the up to seven floats past the last k.
template <int64_t kMaxRows>
void pack_across(const float* rows, int64_t stride, int64_t count, int64_t depth, float* packed) {
  constexpr int64_t kGroups = (kMaxRows + 7) / 8;
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

/// Packs `count` rows, `stride` apart, into a panel of `width` lanes, a multiple of eight; lanes past the last row
/// repeat it. A whole cache line of each row is read at a time, because the rows may all map to one set of the L1
/// cache.
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

/// Divides an extent into parts of at most `largest`, each but the last a whole number of units, as evenly as possible:
/// a short last panel would hold too few independent sums to hide the latency of a multiply-add.
struct EvenSplit {
  EvenSplit(int64_t extent, int64_t largest, int64_t unit_size)
      : n(extent), unit(unit_size), count((extent + largest - 1) / largest) {}
  int64_t begin(int64_t i) const { return std::min(n, i * ((n + unit - 1) / unit) / count * unit); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t n, unit, count;
};

}  // namespace
}  // namespace terrace
