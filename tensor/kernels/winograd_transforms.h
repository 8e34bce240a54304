// The transforms of Winograd's algorithm (winograd.h): of weights, of tiles of x, and back to tiles of y. Included by
// winograd.cpp only, which is compiled once per instruction set; hence the anonymous namespace.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/kernels/gemm/panel_packing.h"
#include "tensor/kernels/winograd.h"
#include "tensor/kernels/winograd_plan.h"

namespace terrace {
namespace {

// --- The transforms in one direction ------------------------------------------------------------------------------
// The points are 0, a, -a, b, -b, infinity.

constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB;

/// B^T d.
template <class V>
[[gnu::always_inline]] inline void transform_values(const V (&d)[kPoints], V (&t)[kPoints]) {
  const V even_a = d[4] - kB2 * d[2], odd_a = kA * (d[3] - kB2 * d[1]);
  const V even_b = d[4] - kA2 * d[2], odd_b = kB * (d[3] - kA2 * d[1]);
  t[0] = kA2 * kB2 * d[0] - (kA2 + kB2) * d[2] + d[4];
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = kA2 * kB2 * d[1] - (kA2 + kB2) * d[3] + d[5];
}

/// G w: the polynomial w[0] + w[1] x + w[2] x^2 at the points, over the products of their distances.
template <class V>
[[gnu::always_inline]] inline void transform_weights(const V (&w)[3], V (&t)[kPoints]) {
  constexpr float kAtZero = 1 / (kA2 * kB2), kAtA = 1 / (2 * kA2 * (kA2 - kB2)), kAtB = 1 / (2 * kB2 * (kB2 - kA2));
  const V even_a = w[0] + kA2 * w[2], even_b = w[0] + kB2 * w[2];
  t[0] = w[0] * kAtZero;
  t[1] = (even_a + kA * w[1]) * kAtA;
  t[2] = (even_a - kA * w[1]) * kAtA;
  t[3] = (even_b + kB * w[1]) * kAtB;
  t[4] = (even_b - kB * w[1]) * kAtB;
  t[5] = w[2];
}

/// A^T m.
template <class V>
[[gnu::always_inline]] inline void transform_results(const V (&m)[kPoints], V (&y)[kResults]) {
  const V sum_a = m[1] + m[2], difference_a = m[1] - m[2];
  const V sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = kA * difference_a + kB * difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = kA2 * kA * difference_a + kB2 * kB * difference_b + m[5];
}

// --- Weights --------------------------------------------------------------------------------------------------------

using Vector = VectorOf<float>::type;
typedef float UnalignedVector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
constexpr int64_t kWide = kLanes<float>;

[[gnu::always_inline]] inline Vector load(const float* x) { return *reinterpret_cast<const UnalignedVector*>(x); }
[[gnu::always_inline]] inline void store(float* x, Vector value) { *reinterpret_cast<UnalignedVector*>(x) = value; }
[[gnu::always_inline]] inline void store(float* x, float value) { *x = value; }

/// U of an in channel, or of a vector of them, whose taps are at(u, v). Results for neighbouring points are written
/// `stride` apart.
template <class V, class Taps>
[[gnu::always_inline]] inline void transform_taps(const Taps& at, float* out, int64_t stride) {
  V down[3][kPoints];
  for (int64_t v = 0; v < 3; ++v) {
    const V column[3] = {at(0, v), at(1, v), at(2, v)};
    transform_weights(column, down[v]);
  }
  for (int64_t i = 0; i < kPoints; ++i) {
    const V row[3] = {down[0][i], down[1][i], down[2][i]};
    V u[kPoints];
    transform_weights(row, u);
    for (int64_t j = 0; j < kPoints; ++j) { store(out + (i * kPoints + j) * stride, u[j]); }
  }
}

/// U of out channel `o` and the in channels [begin, end): out[point * stride + c - begin]. `taps`: 9 x (end - begin)
/// floats.
void transform_weights_of(const Conv2dGeometry& g, const float* weight, WeightOrder order, int64_t o, int64_t begin,
                          int64_t end, float* taps, float* out, int64_t stride) {
  const bool forward = order == WeightOrder::kForward;
  const float* first = weight + (forward ? o * g.in_channels + begin : begin * g.out_channels + o) * 9;
  const int64_t C = end - begin, step = forward ? 9 : 9 * g.out_channels;
  int64_t whole = 0;
  for (; whole + 8 <= C; whole += 8) {
    Eight x[8];
    for (int64_t r = 0; r < 8; ++r) { x[r] = load_eight(first + (whole + r) * step); }
    transpose(x);
    for (int64_t tap = 0; tap < 8; ++tap) { store_eight(taps + (forward ? tap : 8 - tap) * C + whole, x[tap]); }
    for (int64_t r = 0; r < 8; ++r) { taps[(forward ? 8 : 0) * C + whole + r] = first[(whole + r) * step + 8]; }
  }
  for (int64_t c = whole; c < C; ++c) {
    for (int64_t tap = 0; tap < 9; ++tap) { taps[(forward ? tap : 8 - tap) * C + c] = first[c * step + tap]; }
  }
  int64_t c = 0;
  for (; c + kWide <= C; c += kWide) {
    transform_taps<Vector>([&](int64_t u, int64_t v) { return load(taps + (3 * u + v) * C + c); }, out + c, stride);
  }
  for (; c < C; ++c) {
    transform_taps<float>([&](int64_t u, int64_t v) { return taps[(3 * u + v) * C + c]; }, out + c, stride);
  }
}

// --- Vectors of tiles -----------------------------------------------------------------------------------------------

/// evens, odds: the elements 0, 2, 4 ... (1, 3, 5 ...) of a followed by b. alternate_low, alternate_high: the lower
/// (upper) halves of a and b, interleaved.
#ifdef __AVX512F__
[[gnu::always_inline]] inline Vector evens(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
[[gnu::always_inline]] inline Vector odds(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
[[gnu::always_inline]] inline Vector alternate_low(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
[[gnu::always_inline]] inline Vector alternate_high(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
/// a without its first element, followed by element `kNext` of b.
template <int kNext>
[[gnu::always_inline]] inline Vector shifted(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 + kNext);
}
#else
[[gnu::always_inline]] inline Vector evens(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}
[[gnu::always_inline]] inline Vector odds(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}
[[gnu::always_inline]] inline Vector alternate_low(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
[[gnu::always_inline]] inline Vector alternate_high(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
template <int kNext>
[[gnu::always_inline]] inline Vector shifted(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 1, 2, 3, 4, 5, 6, 7, 8 + kNext);
}
#endif

/// d[j][tile] = line[4 tile + j] for a vector of adjacent tiles.
[[gnu::always_inline]] inline void deinterleave(const float* line, Vector (&d)[kPoints]) {
  const Vector a = load(line), b = load(line + kWide), c = load(line + 2 * kWide), e = load(line + 3 * kWide);
  const Vector next = load(line + 4 * kWide);
  const Vector even_low = evens(a, b), even_high = evens(c, e), odd_low = odds(a, b), odd_high = odds(c, e);
  d[0] = evens(even_low, even_high);
  d[1] = evens(odd_low, odd_high);
  d[2] = odds(even_low, even_high);
  d[3] = odds(odd_low, odd_high);
  d[4] = shifted<0>(d[0], next);
  d[5] = shifted<1>(d[1], next);
}

/// line[4 tile + j] = y[j][tile], the inverse.
[[gnu::always_inline]] inline void interleave(const Vector (&y)[kResults], float* line) {
  const Vector even_low = alternate_low(y[0], y[2]), even_high = alternate_high(y[0], y[2]);
  const Vector odd_low = alternate_low(y[1], y[3]), odd_high = alternate_high(y[1], y[3]);
  store(line, alternate_low(even_low, odd_low));
  store(line + kWide, alternate_high(even_low, odd_low));
  store(line + 2 * kWide, alternate_low(even_high, odd_high));
  store(line + 3 * kWide, alternate_high(even_high, odd_high));
}

// --- Values ---------------------------------------------------------------------------------------------------------

/// V of rows of tiles, a channel at a time. First the columns of the tiles, along whole lines of x; then their rows, a
/// vector of tiles at a time.
class ValueTransform {
 public:
  /// `workspace`: plan.lines() floats.
  ValueTransform(const WinogradPlan& plan, float* workspace)
      : p_(plan), zeros_(workspace), down_(workspace + plan.line) {
    std::fill_n(workspace, plan.lines(), 0.0f);  // left and right of the image the lines stay 0
  }

  /// values: panels of tiles, by channel.
  void operator()(const float* x, int64_t c, TileRows tiles, float* values) {
    for (int64_t row = tiles.first; row < tiles.end; ++row) {
      transform_columns(x, c, row, down_ + (row - tiles.first) * kPoints * p_.line);
    }
    const int64_t count = (tiles.end - tiles.first) * p_.columns;
    for (int64_t tile = 0; tile < p_.lanes; tile += kWide) {
      const int64_t lane = tile % kLanesOfTiles;
      transform_rows(tile, count, values + (tile - lane) * p_.g.in_channels + c * kLanesOfTiles + lane);
    }
  }

 private:
  /// Transforms the columns of a row of tiles. Lines outside the image are 0.
  void transform_columns(const float* x, int64_t c, int64_t row, float* out) {
    const Conv2dGeometry& g = p_.g;
    const int64_t image = row / p_.rows, top = row % p_.rows * kResults - g.top;
    const int64_t count = std::clamp<int64_t>(p_.columns * kResults + kPoints - g.left, 0, g.width);
    const float* lines[kPoints];
    for (int64_t k = 0; k < kPoints; ++k) {
      const bool inside = top + k >= 0 && top + k < g.height;
      lines[k] = inside ? x + ((image * g.in_channels + c) * g.height + top + k) * g.width : zeros_;
    }
    float* const down = out + g.left;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      float d[kPoints], t[kPoints];
      for (int64_t k = 0; k < kPoints; ++k) { d[k] = lines[k][i]; }
      transform_values(d, t);
      for (int64_t k = 0; k < kPoints; ++k) { down[k * p_.line + i] = t[k]; }
    }
  }

  /// Transforms the rows of a vector of tiles, from `tile` on, of `count`; lanes past the last tile repeat it.
  void transform_rows(int64_t tile, int64_t count, float* out) {
    const bool adjacent = p_.columns % kWide == 0 && tile < count;
    int32_t at[kWide];
    for (int64_t lane = 0; lane < kWide && !adjacent; ++lane) {
      at[lane] = static_cast<int32_t>(place(std::min(tile + lane, count - 1)));
    }
    const float* const first = down_ + (adjacent ? place(tile) : 0);
    for (int64_t i = 0; i < kPoints; ++i) {
      const float* line = first + i * p_.line;
      Vector d[kPoints], t[kPoints];
      if (adjacent) {
        deinterleave(line, d);
      } else {
        for (int64_t j = 0; j < kPoints; ++j) {
          alignas(64) float gathered[kWide];
          for (int64_t lane = 0; lane < kWide; ++lane) { gathered[lane] = line[at[lane] + j]; }
          d[j] = load(gathered);
        }
      }
      transform_values(d, t);
      for (int64_t j = 0; j < kPoints; ++j) {
        *reinterpret_cast<Vector*>(out + (i * kPoints + j) * p_.value_stride) = t[j];
      }
    }
  }

  /// The index in down_ of a tile's first value.
  int64_t place(int64_t tile) const { return tile / p_.columns * kPoints * p_.line + tile % p_.columns * kResults; }

  const WinogradPlan& p_;
  float *zeros_, *down_;
};

// --- Results --------------------------------------------------------------------------------------------------------

/// y of rows of tiles, a channel at a time.
class ResultTransform {
 public:
  ResultTransform(const WinogradPlan& plan, TileRows tiles, float* y)
      : p_(plan),
        tiles_(tiles),
        y_(y),
        adjacent_(p_.columns % kWide == 0 && p_.g.out_width() == p_.columns * kResults) {}

  /// `results`: of the channel, at the first pair of points.
  void operator()(const float* results, int64_t o, float bias) const {
    const int64_t count = (tiles_.end - tiles_.first) * p_.columns;
    for (int64_t tile = 0; tile < count; tile += kWide) {
      Vector down[kResults][kPoints];
      for (int64_t j = 0; j < kPoints; ++j) {
        Vector column[kPoints], y[kResults];
        for (int64_t i = 0; i < kPoints; ++i) {
          column[i] = *reinterpret_cast<const Vector*>(results + (i * kPoints + j) * p_.result_stride + tile);
        }
        transform_results(column, y);
        for (int64_t i = 0; i < kResults; ++i) { down[i][j] = y[i]; }
      }
      alignas(64) float lines[kResults][kResults * kWide];
      float* const at = place(tile, o);
      const int64_t rows = adjacent_ ? rows_of(tile) : kResults;
      for (int64_t i = 0; i < rows; ++i) {
        Vector y[kResults];
        transform_results(down[i], y);
        for (int64_t j = 0; j < kResults; ++j) { y[j] += bias; }
        interleave(y, adjacent_ ? at + i * p_.g.out_width() : lines[i]);
      }
      if (!adjacent_) { copy_tiles(lines, tile, std::min(kWide, count - tile), o); }
    }
  }

 private:
  /// The number of a tile's lines that are inside the image.
  int64_t rows_of(int64_t tile) const {
    const int64_t row = (tiles_.first + tile / p_.columns) % p_.rows;
    return std::min(kResults, p_.g.out_height() - row * kResults);
  }
  float* place(int64_t tile, int64_t o) const {
    const int64_t row = tiles_.first + tile / p_.columns, image = row / p_.rows;
    const int64_t top = row % p_.rows * kResults, left = tile % p_.columns * kResults;
    return y_ + ((image * p_.g.out_channels + o) * p_.g.out_height() + top) * p_.g.out_width() + left;
  }

  /// Copies a vector's tiles into y, those of one row of tiles at a time.
  void copy_tiles(const float (&lines)[kResults][kResults * kWide], int64_t tile, int64_t count, int64_t o) const {
    for (int64_t t = 0; t < count;) {
      const int64_t column = (tile + t) % p_.columns, run = std::min(count - t, p_.columns - column);
      const int64_t width = std::min(run * kResults, p_.g.out_width() - column * kResults);
      const int64_t rows = rows_of(tile + t);
      float* const at = place(tile + t, o);
      for (int64_t i = 0; i < rows; ++i) { std::copy_n(lines[i] + kResults * t, width, at + i * p_.g.out_width()); }
      t += run;
    }
  }

  const WinogradPlan& p_;
  TileRows tiles_;
  float* y_;
  bool adjacent_;  // the tiles of a vector are adjacent in one row of tiles, and so are the results on each line
};

}  // namespace
}  // namespace terrace
