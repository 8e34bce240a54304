#include "tensor/kernels/winograd.h"

#include <omp.h>

#include <algorithm>

#include "tensor/device/allocator.h"
#include "tensor/kernels/buffer.h"
#include "tensor/kernels/gemm/panel_packing.h"
#include "tensor/kernels/gemm/panel_product.h"

namespace terrace {
namespace {

constexpr int64_t kResults = 4;                // of a tile, in each direction
constexpr int64_t kPoints = kResults + 3 - 1;  // values of a tile, and points of evaluation, in each direction
constexpr int64_t kLanesOfTiles = kPanel<float>;

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

// --- The plan of a convolution ------------------------------------------------------------------------------------

/// The tiles of all images, and what the two ways of sharing out the work need. Many tiles go in blocks of whole rows
/// of tiles: all weights are transformed first, then a thread takes a block through all stages. With few tiles there
/// is more work in the weights than in x: all of x is transformed first, then a thread takes some out channels through
/// all stages, and their transformed weights never leave its second cache.
struct Plan {
  explicit Plan(const Conv2dGeometry& geometry) : g(geometry) {
    columns = (g.out_width() + kResults - 1) / kResults;
    rows = (g.out_height() + kResults - 1) / kResults;
    const int64_t all_rows = g.batch * rows, tiles = all_rows * columns;
    constexpr int64_t kFewTiles = 64;
    by_channels = tiles <= kFewTiles;
    // Enough tiles that the products read the weights rarely, few enough that a block stays in the caches, and that
    // small images make blocks for several threads.
    constexpr int64_t kFewestBlocks = 4;
    const int64_t most = g.in_channels + g.out_channels > 640 ? 32 : 64;
    const int64_t wanted = by_channels ? tiles : std::clamp(tiles / kFewestBlocks, kLanesOfTiles, most);
    block_rows = std::max<int64_t>(1, std::min(wanted / columns, all_rows));
    blocks = (all_rows + block_rows - 1) / block_rows;
    lanes = (block_rows * columns + kLanes<float> - 1) / kLanes<float> * kLanes<float>;
    padded = whole_panels(lanes);
    const int64_t parts = by_channels ? (g.out_channels + kChannelsAtATime - 1) / kChannelsAtATime : 1;
    channels = (g.out_channels + parts - 1) / parts;
    stretches = (g.in_channels + kDepth - 1) / kDepth;
    depth = by_channels ? (g.in_channels + stretches - 1) / stretches : g.in_channels;
    // A vector's width more between the matrices of two points: a power of two would put all 36 into one set of a
    // cache.
    weight_stride = whole_panels(channels * depth) + kLanesOfTiles;
    value_stride = g.in_channels * padded + kLanesOfTiles;
    result_stride = channels * padded + kLanesOfTiles;
    line = whole_panels(columns * kResults + kPoints) + kLanesOfTiles;
  }

  int64_t weights() const { return kMatrices * weight_stride; }
  int64_t values() const { return kMatrices * value_stride; }
  int64_t results() const { return kMatrices * result_stride; }
  int64_t lines() const { return (1 + block_rows * kPoints) * line; }
  int64_t begin_of_stretch(int64_t s) const { return g.in_channels * s / stretches; }

  static constexpr int64_t kMatrices = kPoints * kPoints;
  static constexpr int64_t kDepth = 384;           // of a product: a panel of values stays near the processor
  static constexpr int64_t kChannelsAtATime = 12;  // a block of rows in registers
  static int64_t whole_panels(int64_t n) { return (n + kLanesOfTiles - 1) / kLanesOfTiles * kLanesOfTiles; }

  const Conv2dGeometry& g;
  int64_t rows, columns;  // of tiles in an image
  bool by_channels;
  int64_t block_rows, blocks;
  int64_t lanes, padded;                               // tiles of a block, up to whole vectors and to whole panels
  int64_t channels, depth;                             // out and in channels whose weights are transformed at a time
  int64_t stretches;                                   // of in channels, that a product takes one after the other
  int64_t weight_stride, value_stride, result_stride;  // between the matrices of two points
  int64_t line;                                        // values of a row of tiles, and a vector that may be read
};

/// Rows of tiles, counted through all images.
struct TileRows {
  int64_t first, end;
};

// --- Weights --------------------------------------------------------------------------------------------------------

using Vector = VectorOf<float>::type;
typedef float UnalignedVector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
constexpr int64_t kWide = kLanes<float>;

[[gnu::always_inline]] inline Vector load(const float* x) { return *reinterpret_cast<const UnalignedVector*>(x); }
[[gnu::always_inline]] inline void store(float* x, Vector value) { *reinterpret_cast<UnalignedVector*>(x) = value; }
[[gnu::always_inline]] inline void store(float* x, float value) { *x = value; }

/// U of an in channel, or of a vector of them: at(u, v) are their taps; results go to points `stride` apart.
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

/// Elements 0, 2, 4 ... of a and b, one after the other; then 1, 3, 5 ...; then their halves, alternating.
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
/// a without its first element, then element `kNext` of b.
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

/// d[j][tile] = line[4 tile + j] for a vector of tiles beside each other.
[[gnu::always_inline]] inline void take_apart(const float* line, Vector (&d)[kPoints]) {
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

/// line[4 tile + j] = y[j][tile], the reverse.
[[gnu::always_inline]] inline void put_together(const Vector (&y)[kResults], float* line) {
  const Vector even_low = alternate_low(y[0], y[2]), even_high = alternate_high(y[0], y[2]);
  const Vector odd_low = alternate_low(y[1], y[3]), odd_high = alternate_high(y[1], y[3]);
  store(line, alternate_low(even_low, odd_low));
  store(line + kWide, alternate_high(even_low, odd_low));
  store(line + 2 * kWide, alternate_low(even_high, odd_high));
  store(line + 3 * kWide, alternate_high(even_high, odd_high));
}

// --- Values ---------------------------------------------------------------------------------------------------------

/// V of rows of tiles, a channel at a time. Down first, along whole lines of x; then across, a vector of tiles at a
/// time.
class ValueTransform {
 public:
  /// `workspace`: plan.lines() floats.
  ValueTransform(const Plan& plan, float* workspace) : p_(plan), zeros_(workspace), down_(workspace + plan.line) {
    std::fill_n(workspace, plan.lines(), 0.0f);  // beside the image the lines stay 0
  }

  /// values: panels of tiles, by channel.
  void operator()(const float* x, int64_t c, TileRows tiles, float* values) {
    for (int64_t row = tiles.first; row < tiles.end; ++row) {
      down_the_lines(x, c, row, down_ + (row - tiles.first) * kPoints * p_.line);
    }
    const int64_t count = (tiles.end - tiles.first) * p_.columns;
    for (int64_t tile = 0; tile < p_.lanes; tile += kWide) {
      const int64_t lane = tile % kLanesOfTiles;
      across(tile, count, values + (tile - lane) * p_.g.in_channels + c * kLanesOfTiles + lane);
    }
  }

 private:
  /// Where lines leave the image there is 0.
  void down_the_lines(const float* x, int64_t c, int64_t row, float* out) {
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

  /// Tiles from `tile` on, of `count`; what lies beyond takes the values of the last.
  void across(int64_t tile, int64_t count, float* out) {
    const bool beside = p_.columns % kWide == 0 && tile < count;
    int32_t at[kWide];
    for (int64_t lane = 0; lane < kWide && !beside; ++lane) {
      at[lane] = static_cast<int32_t>(place(std::min(tile + lane, count - 1)));
    }
    const float* const first = down_ + (beside ? place(tile) : 0);
    for (int64_t i = 0; i < kPoints; ++i) {
      const float* line = first + i * p_.line;
      Vector d[kPoints], t[kPoints];
      if (beside) {
        take_apart(line, d);
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

  /// Of a tile's first value in down_.
  int64_t place(int64_t tile) const { return tile / p_.columns * kPoints * p_.line + tile % p_.columns * kResults; }

  const Plan& p_;
  float *zeros_, *down_;
};

// --- Products -------------------------------------------------------------------------------------------------------

/// At one pair of points and over the stretch `s` of in channels: results (channels, tiles) = [results +] U V.
/// `weights` begin at that stretch and lie `depth` apart.
void multiply(const Plan& p, int64_t channels, int64_t s, const float* weights, int64_t depth, const float* values,
              float* results) {
  const int64_t begin = p.begin_of_stretch(s), end = p.begin_of_stretch(s + 1);
  panel_product<float>({channels, p.lanes, end - begin}, {weights, depth, 1},
                       {values + begin * kLanesOfTiles, p.g.in_channels}, results, p.padded,
                       s == 0 ? Write::kOverwrite : Write::kAccumulate);
}

// --- Results --------------------------------------------------------------------------------------------------------

/// y of rows of tiles, a channel at a time.
class ResultTransform {
 public:
  ResultTransform(const Plan& plan, TileRows tiles, float* y)
      : p_(plan), tiles_(tiles), y_(y), beside_(p_.columns % kWide == 0 && p_.g.out_width() == p_.columns * kResults) {}

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
      const int64_t rows = beside_ ? rows_of(tile) : kResults;
      for (int64_t i = 0; i < rows; ++i) {
        Vector y[kResults];
        transform_results(down[i], y);
        for (int64_t j = 0; j < kResults; ++j) { y[j] += bias; }
        put_together(y, beside_ ? at + i * p_.g.out_width() : lines[i]);
      }
      if (!beside_) { copy_tiles(lines, tile, std::min(kWide, count - tile), o); }
    }
  }

 private:
  /// Lines of a tile that lie in the image.
  int64_t rows_of(int64_t tile) const {
    const int64_t row = (tiles_.first + tile / p_.columns) % p_.rows;
    return std::min(kResults, p_.g.out_height() - row * kResults);
  }
  float* place(int64_t tile, int64_t o) const {
    const int64_t row = tiles_.first + tile / p_.columns, image = row / p_.rows;
    const int64_t top = row % p_.rows * kResults, left = tile % p_.columns * kResults;
    return y_ + ((image * p_.g.out_channels + o) * p_.g.out_height() + top) * p_.g.out_width() + left;
  }

  /// A vector's tiles, a run of one row of tiles after the other.
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

  const Plan& p_;
  TileRows tiles_;
  float* y_;
  bool beside_;  // a vector's tiles lie beside each other, and so do all lines of theirs
};

// --- The convolution ------------------------------------------------------------------------------------------------

struct Convolution {
  const Plan& p;
  const float *x, *weight, *bias;
  float* y;
  WeightOrder order;

  float bias_of(int64_t o) const { return bias == nullptr ? 0.0f : bias[o]; }
  TileRows rows_of(int64_t block) const {
    return {block * p.block_rows, std::min((block + 1) * p.block_rows, p.g.batch * p.rows)};
  }

  void by_tiles(int threads) const {
    const int64_t C = p.g.in_channels, O = p.g.out_channels;
    const int64_t each = p.values() + p.results() + p.lines();
    const Buffer<float> transformed(p.weights()), taps(threads * 9 * C), workspace(threads * each);
#pragma omp parallel num_threads(threads)
    {
      const int64_t thread = omp_get_thread_num();
#pragma omp for schedule(static)
      for (int64_t o = 0; o < O; ++o) {
        transform_weights_of(p.g, weight, order, o, 0, C, taps.data + thread * 9 * C, transformed.data + o * C,
                             p.weight_stride);
      }
      float *const values = workspace.data + thread * each, *const results = values + p.values();
      ValueTransform transform(p, results + p.results());
#pragma omp for schedule(dynamic)
      for (int64_t block = 0; block < p.blocks; ++block) {
        const TileRows tiles = rows_of(block);
        for (int64_t c = 0; c < C; ++c) { transform(x, c, tiles, values); }
        for (int64_t point = 0; point < Plan::kMatrices; ++point) {
          for (int64_t s = 0; s < p.stretches; ++s) {
            multiply(p, O, s, transformed.data + point * p.weight_stride + p.begin_of_stretch(s), C,
                     values + point * p.value_stride, results + point * p.result_stride);
          }
        }
        const ResultTransform restore(p, tiles, y);
        for (int64_t o = 0; o < O; ++o) { restore(results + o * p.padded, o, bias_of(o)); }
      }
    }
  }

  void by_channels(int threads) const {
    const int64_t C = p.g.in_channels, O = p.g.out_channels;
    const int64_t each = p.weights() + p.results() + p.lines() + Plan::whole_panels(9 * p.depth);
    const Buffer<float> values(p.values()), workspace(threads * each);
    const TileRows tiles = rows_of(0);
#pragma omp parallel num_threads(threads)
    {
      float* const transformed = workspace.data + omp_get_thread_num() * each;
      float *const results = transformed + p.weights(), *const lines = results + p.results();
      float* const taps = lines + p.lines();
      ValueTransform transform(p, lines);
#pragma omp for schedule(static)
      for (int64_t c = 0; c < C; ++c) { transform(x, c, tiles, values.data); }
      const ResultTransform restore(p, tiles, y);
#pragma omp for schedule(dynamic)
      for (int64_t first = 0; first < O; first += p.channels) {
        const int64_t count = std::min(p.channels, O - first);
        for (int64_t s = 0; s < p.stretches; ++s) {
          const int64_t begin = p.begin_of_stretch(s), end = p.begin_of_stretch(s + 1);
          for (int64_t o = 0; o < count; ++o) {
            transform_weights_of(p.g, weight, order, first + o, begin, end, taps, transformed + o * p.depth,
                                 p.weight_stride);
          }
          for (int64_t point = 0; point < Plan::kMatrices; ++point) {
            multiply(p, count, s, transformed + point * p.weight_stride, p.depth, values.data + point * p.value_stride,
                     results + point * p.result_stride);
          }
        }
        for (int64_t o = 0; o < count; ++o) { restore(results + o * p.padded, first + o, bias_of(first + o)); }
      }
    }
  }
};

void conv2d(const Conv2dGeometry& g, const float* x, const float* weight, const float* bias, float* y,
            WeightOrder order) {
  const AllocationName name("convolution transforms");
  const Plan plan(g);
  const Convolution convolution{plan, x, weight, bias, y, order};
  const int threads = omp_get_max_threads();
  plan.by_channels ? convolution.by_channels(threads) : convolution.by_tiles(threads);
}

TERRACE_REGISTER(winograd_conv2d, conv2d);

}  // namespace
}  // namespace terrace
