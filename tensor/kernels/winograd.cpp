#include "tensor/kernels/winograd.h"

#include <omp.h>

#include <algorithm>

#include "tensor/allocator.h"
#include "tensor/kernels/panel_packing.h"
#include "tensor/kernels/panel_product.h"
#include "tensor/tensor.h"

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
[[gnu::always_inline]] inline void transform_weights(const float (&w)[3], float (&t)[kPoints]) {
  constexpr float kAtZero = 1 / (kA2 * kB2), kAtA = 1 / (2 * kA2 * (kA2 - kB2)), kAtB = 1 / (2 * kB2 * (kB2 - kA2));
  const float even_a = w[0] + kA2 * w[2], even_b = w[0] + kB2 * w[2];
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

/// The tiles of all images go in blocks of whole rows of tiles; a thread takes a block through all stages.
struct Plan {
  explicit Plan(const Conv2dGeometry& geometry) : g(geometry) {
    columns = (g.out_width() + kResults - 1) / kResults;
    rows = (g.out_height() + kResults - 1) / kResults;
    // Enough tiles that the products read the weights rarely, few enough that a block stays in the caches, and that
    // small images make blocks for several threads.
    constexpr int64_t kFewestBlocks = 4;
    const int64_t most = g.in_channels + g.out_channels > 640 ? 32 : 64;
    const int64_t wanted = std::clamp(g.batch * rows * columns / kFewestBlocks, kLanesOfTiles, most);
    block_rows = std::max<int64_t>(1, std::min(wanted / columns, g.batch * rows));
    blocks = (g.batch * rows + block_rows - 1) / block_rows;
    padded = (block_rows * columns + kLanesOfTiles - 1) / kLanesOfTiles * kLanesOfTiles;
    // A vector's width more between the matrices of two points: a power of two would put all 36 into one set of a
    // cache.
    weight_stride = g.out_channels * g.in_channels + kLanesOfTiles;
    value_stride = g.in_channels * padded + kLanesOfTiles;
    result_stride = g.out_channels * padded + kLanesOfTiles;
    line = columns * kResults + kPoints;
  }
  int64_t matrices() const { return kPoints * kPoints; }
  int64_t weights() const { return matrices() * weight_stride; }
  /// Floats that one thread works in.
  int64_t workspace() const {
    const int64_t lines = (1 + kPoints) * (line + kLanesOfTiles);
    const int64_t whole_lines =
        (lines + kLanesOfTiles - 1) / kLanesOfTiles * kLanesOfTiles;            // the next thread's begins
    return matrices() * (value_stride + result_stride + padded) + whole_lines;  // at a vector
  }

  const Conv2dGeometry& g;
  int64_t rows, columns;  // of tiles in an image
  int64_t block_rows, blocks;
  int64_t padded;                                      // tiles of a block, up to whole panels
  int64_t weight_stride, value_stride, result_stride;  // between the matrices of two points
  int64_t line;                                        // values of a row of tiles
};

/// U of out channel `o`: transformed[point][o][c]. `taps`: 9 x in_channels floats.
void weights_of_channel(const Plan& plan, const float* weight, WeightOrder order, int64_t o, float* taps,
                        float* transformed) {
  const int64_t C = plan.g.in_channels, O = plan.g.out_channels;
  const bool forward = order == WeightOrder::kForward;
  const float* first = weight + (forward ? o * C : o) * 9;
  const int64_t stride = forward ? 9 : 9 * O;
  int64_t whole = 0;
  for (; whole + 8 <= C; whole += 8) {
    Eight x[8];
    for (int64_t r = 0; r < 8; ++r) x[r] = load_eight(first + (whole + r) * stride);
    transpose(x);
    for (int64_t tap = 0; tap < 8; ++tap) store_eight(taps + (forward ? tap : 8 - tap) * C + whole, x[tap]);
    for (int64_t r = 0; r < 8; ++r) taps[(forward ? 8 : 0) * C + whole + r] = first[(whole + r) * stride + 8];
  }
  for (int64_t c = whole; c < C; ++c) {
    for (int64_t tap = 0; tap < 9; ++tap) taps[(forward ? tap : 8 - tap) * C + c] = first[c * stride + tap];
  }
  float* out = transformed + o * C;
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) {
    float down[3][kPoints];
    for (int64_t v = 0; v < 3; ++v) {
      const float column[3] = {taps[v * C + c], taps[(3 + v) * C + c], taps[(6 + v) * C + c]};
      transform_weights(column, down[v]);
    }
    for (int64_t i = 0; i < kPoints; ++i) {
      const float row[3] = {down[0][i], down[1][i], down[2][i]};
      float at[kPoints];
      transform_weights(row, at);
      for (int64_t j = 0; j < kPoints; ++j) out[(i * kPoints + j) * plan.weight_stride + c] = at[j];
    }
  }
}

// --- A block of tiles ---------------------------------------------------------------------------------------------

using Vector = VectorOf<float>::type;
constexpr int64_t kVectors = kLanesOfTiles / kLanes<float>;

class Block {
 public:
  Block(const Plan& plan, int64_t index, float* workspace)
      : p_(plan),
        first_(index * plan.block_rows),
        end_(std::min(first_ + plan.block_rows, plan.g.batch * plan.rows)),
        values_(workspace),
        results_(values_ + plan.matrices() * plan.value_stride),
        apart_(results_ + plan.matrices() * plan.result_stride),
        zeros_(apart_ + plan.matrices() * plan.padded),
        down_(zeros_ + plan.line) {}

  void run(const float* x, const float* transformed, const float* bias, float* y) {
    std::fill_n(apart_, p_.matrices() * p_.padded, 0.0f);
    std::fill_n(zeros_, p_.line, 0.0f);
    for (int64_t c = 0; c < p_.g.in_channels; ++c) transform_channel(x, c);
    for (int64_t point = 0; point < p_.matrices(); ++point) multiply(transformed, point);
    for (int64_t o = 0; o < p_.g.out_channels; ++o) {
      restore_channel(o, bias == nullptr ? 0.0f : bias[o], y);
    }
  }

 private:
  /// V of one channel. Down first, along whole lines; then the tiles' columns are taken apart, so that across, too, a
  /// vector holds a row of tiles.
  void transform_channel(const float* x, int64_t c) {
    for (int64_t row = first_; row < end_; ++row) {
      transform_lines(x, row / p_.rows, c, row % p_.rows);
      const int64_t tile = (row - first_) * p_.columns;
      for (int64_t k = 0; k < kPoints; ++k) take_apart(down_ + k * p_.line, apart_ + k * kPoints * p_.padded + tile);
    }
    for (int64_t tile = 0; tile < p_.padded; tile += kLanesOfTiles) {
      float* out = values_ + tile * p_.g.in_channels + c * kLanesOfTiles;
      for (int64_t i = 0; i < kPoints; ++i) {
        for (int64_t v = 0; v < kLanesOfTiles; v += kLanes<float>) {
          Vector d[kPoints], t[kPoints];
          for (int64_t j = 0; j < kPoints; ++j) {
            d[j] = *reinterpret_cast<const Vector*>(apart_ + (i * kPoints + j) * p_.padded + tile + v);
          }
          transform_values(d, t);
          for (int64_t j = 0; j < kPoints; ++j) {
            *reinterpret_cast<Vector*>(out + (i * kPoints + j) * p_.value_stride + v) = t[j];
          }
        }
      }
    }
  }

  /// The transforms down the lines of x below a row of tiles, to down_. Where lines leave the image there is 0.
  void transform_lines(const float* x, int64_t image, int64_t c, int64_t row) {
    const Conv2dGeometry& g = p_.g;
    const int64_t count = std::clamp<int64_t>(p_.line - g.left, 0, g.width);
    const float* lines[kPoints];
    for (int64_t k = 0; k < kPoints; ++k) {
      const int64_t source = row * kResults - g.top + k;
      const bool inside = source >= 0 && source < g.height;
      lines[k] = inside ? x + ((image * g.in_channels + c) * g.height + source) * g.width : zeros_;
    }
    float* const down = down_ + g.left;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      float d[kPoints], t[kPoints];
      for (int64_t k = 0; k < kPoints; ++k) d[k] = lines[k][i];
      transform_values(d, t);
      for (int64_t k = 0; k < kPoints; ++k) down[k * p_.line + i] = t[k];
    }
    for (int64_t k = 0; k < kPoints; ++k) {
      float* line = down_ + k * p_.line;
      std::fill_n(line, std::min<int64_t>(g.left, p_.line), 0.0f);
      std::fill(line + std::min<int64_t>(g.left + count, p_.line), line + p_.line, 0.0f);
    }
  }

  /// out[j][tile] = line[4 tile + j].
  void take_apart(const float* line, float* out) const {
    float* const __restrict__ o = out;
    for (int64_t t = 0; t < p_.columns; ++t) {
      for (int64_t j = 0; j < kResults; ++j) o[j * p_.padded + t] = line[kResults * t + j];
    }
    for (int64_t t = 0; t < p_.columns; ++t) {
      for (int64_t j = kResults; j < kPoints; ++j) o[j * p_.padded + t] = line[kResults * t + j];
    }
  }

  /// At one pair of points: (O, tiles) = U (O, C) V (C, tiles), a stretch of C that stays in the first cache at a time.
  void multiply(const float* transformed, int64_t point) {
    constexpr int64_t kDepth = 384;
    const int64_t C = p_.g.in_channels, O = p_.g.out_channels, stretches = (C + kDepth - 1) / kDepth;
    for (int64_t s = 0; s < stretches; ++s) {
      const int64_t begin = C * s / stretches, end = C * (s + 1) / stretches;
      panel_product<float>({O, p_.padded, end - begin}, {transformed + point * p_.weight_stride + begin, C, 1},
                           {values_ + point * p_.value_stride + begin * kLanesOfTiles, C},
                           results_ + point * p_.result_stride, p_.padded,
                           s == 0 ? Write::kOverwrite : Write::kAccumulate);
    }
  }

  /// y of one channel.
  void restore_channel(int64_t o, float bias, float* y) {
    const int64_t tiles = (end_ - first_) * p_.columns;
    for (int64_t tile = 0; tile < tiles; tile += kLanesOfTiles) {
      alignas(64) float out[kResults][kResults][kLanesOfTiles];
      for (int64_t v = 0; v < kVectors; ++v) {
        restore(results_ + o * p_.padded + tile + v * kLanes<float>, bias, v * kLanes<float>, out);
      }
      float lines[kResults][kResults * kLanesOfTiles];
      for (int64_t i = 0; i < kResults; ++i) {
        for (int64_t t = 0; t < kLanesOfTiles; ++t) {
          for (int64_t j = 0; j < kResults; ++j) lines[i][kResults * t + j] = out[i][j][t];
        }
      }
      const int64_t count = std::min(kLanesOfTiles, tiles - tile);
      for (int64_t t = 0; t < count;) {
        const int64_t row = first_ + (tile + t) / p_.columns, column = (tile + t) % p_.columns;
        const int64_t run = std::min(count - t, p_.columns - column);
        write_tiles(lines, t, run, row, column, o, y);
        t += run;
      }
    }
  }

  /// out[i][j][lane] for a vector of tiles.
  void restore(const float* m, float bias, int64_t lane, float (&out)[kResults][kResults][kLanesOfTiles]) const {
    Vector down[kResults][kPoints];
    for (int64_t j = 0; j < kPoints; ++j) {
      Vector column[kPoints], y[kResults];
      for (int64_t i = 0; i < kPoints; ++i) {
        column[i] = *reinterpret_cast<const Vector*>(m + (i * kPoints + j) * p_.result_stride);
      }
      transform_results(column, y);
      for (int64_t i = 0; i < kResults; ++i) down[i][j] = y[i];
    }
    for (int64_t i = 0; i < kResults; ++i) {
      Vector y[kResults];
      transform_results(down[i], y);
      for (int64_t j = 0; j < kResults; ++j) *reinterpret_cast<Vector*>(&out[i][j][lane]) = y[j] + bias;
    }
  }

  /// Tiles [t, t + run) of a panel, a run of the row `row` of tiles from `column` on.
  void write_tiles(const float (&lines)[kResults][kResults * kLanesOfTiles], int64_t t, int64_t run, int64_t row,
                   int64_t column, int64_t o, float* y) const {
    const int64_t height = p_.g.out_height(), width = p_.g.out_width();
    const int64_t image = row / p_.rows, top = row % p_.rows * kResults, left = column * kResults;
    const int64_t rows = std::min(kResults, height - top), count = std::min(run * kResults, width - left);
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(lines[i] + kResults * t, count,
                  y + ((image * p_.g.out_channels + o) * height + top + i) * width + left);
    }
  }

  const Plan& p_;
  int64_t first_, end_;  // rows of tiles, counted through all images
  float *values_, *results_, *apart_, *zeros_, *down_;
};

void conv2d(const Conv2dGeometry& g, const float* x, const float* weight, const float* bias, float* y,
            WeightOrder order) {
  const AllocationName name("convolution transforms");
  const Plan plan(g);
  const int threads = omp_get_max_threads();
  const Tensor transformed = Tensor::empty({plan.weights()});
  const Tensor taps = Tensor::empty({threads, 9 * g.in_channels});
  const Tensor workspace = Tensor::empty({threads, plan.workspace()});
  float *const u = transformed.data<float>(), *const t = taps.data<float>(), *const w = workspace.data<float>();
#pragma omp parallel num_threads(threads)
  {
    const int64_t thread = omp_get_thread_num();
#pragma omp for schedule(static)
    for (int64_t o = 0; o < g.out_channels; ++o) {
      weights_of_channel(plan, weight, order, o, t + thread * 9 * g.in_channels, u);
    }
#pragma omp for schedule(dynamic)
    for (int64_t block = 0; block < plan.blocks; ++block) {
      Block(plan, block, w + thread * plan.workspace()).run(x, u, bias, y);
    }
  }
}

TERRACE_REGISTER(winograd_conv2d, conv2d);

}  // namespace
}  // namespace terrace
