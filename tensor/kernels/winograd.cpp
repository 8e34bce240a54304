#include "tensor/kernels/winograd.h"

#include <omp.h>

#include <algorithm>

#include "tensor/device/allocator.h"
#include "tensor/device/buffer.h"
#include "tensor/kernels/gemm/panel_product.h"
#include "tensor/kernels/winograd_plan.h"
#include "tensor/kernels/winograd_transforms.h"

namespace terrace {
namespace {

// --- Products -------------------------------------------------------------------------------------------------------

/// At one pair of points and over range `r` of the in channels: results (channels, tiles) = [results +] U V. `weights`
/// begin at that range, those of neighbouring out channels `depth` apart.
void multiply(const WinogradPlan& p, int64_t channels, int64_t r, const float* weights, int64_t depth,
              const float* values, float* results) {
  const int64_t begin = p.begin_of_range(r), end = p.begin_of_range(r + 1);
  panel_product<float>({channels, p.lanes, end - begin}, {weights, depth, 1},
                       {values + begin * kLanesOfTiles, p.g.in_channels}, results, p.padded,
                       r == 0 ? Write::kOverwrite : Write::kAccumulate);
}

// --- The convolution ------------------------------------------------------------------------------------------------

struct Convolution {
  const WinogradPlan& p;
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
        for (int64_t point = 0; point < WinogradPlan::kMatrices; ++point) {
          for (int64_t r = 0; r < p.ranges; ++r) {
            multiply(p, O, r, transformed.data + point * p.weight_stride + p.begin_of_range(r), C,
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
    const int64_t each = p.weights() + p.results() + p.lines() + WinogradPlan::whole_panels(9 * p.depth);
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
        for (int64_t r = 0; r < p.ranges; ++r) {
          const int64_t begin = p.begin_of_range(r), end = p.begin_of_range(r + 1);
          for (int64_t o = 0; o < count; ++o) {
            transform_weights_of(p.g, weight, order, first + o, begin, end, taps, transformed + o * p.depth,
                                 p.weight_stride);
          }
          for (int64_t point = 0; point < WinogradPlan::kMatrices; ++point) {
            multiply(p, count, r, transformed + point * p.weight_stride, p.depth, values.data + point * p.value_stride,
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
  const WinogradPlan plan(g);
  const Convolution convolution{plan, x, weight, bias, y, order};
  const int threads = omp_get_max_threads();
  plan.by_channels ? convolution.by_channels(threads) : convolution.by_tiles(threads);
}

TERRACE_REGISTER(winograd_conv2d, conv2d);

}  // namespace
}  // namespace terrace
