// How the CPU's Winograd convolution is divided: tiles into blocks, channels into ranges, and the layout of the working
// memory. Included by winograd.cpp and winograd_transforms.h only, which are compiled once per instruction set; hence
// the anonymous namespace.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/kernels/conv2d.h"
#include "tensor/kernels/gemm/panel_product.h"

namespace terrace {
namespace {

constexpr int64_t kResults = 4;                // of a tile, in each direction
constexpr int64_t kPoints = kResults + 3 - 1;  // values of a tile, and points of evaluation, in each direction
constexpr int64_t kLanesOfTiles = kPanel<float>;

/// The tiles of all images, and the extents of the two ways to divide the work among threads. Many tiles are divided
/// into blocks of whole rows of tiles: all weights are transformed first, then a thread takes a block through all
/// stages. With few tiles the weights are more work than x: all of x is transformed first, then a thread takes some out
/// channels through all stages, and their transformed weights stay in its L2 cache.
struct WinogradPlan {
  explicit WinogradPlan(const Conv2dGeometry& geometry) : g(geometry) {
    columns = (g.out_width() + kResults - 1) / kResults;
    rows = (g.out_height() + kResults - 1) / kResults;
    const int64_t all_rows = g.batch * rows, tiles = all_rows * columns;
    constexpr int64_t kMaxTilesByChannels = 64;
    by_channels = tiles <= kMaxTilesByChannels;
    // Enough tiles that the products read the weights rarely, few enough that a block stays in the caches, and that
    // small images make blocks for several threads.
    constexpr int64_t kMinBlocks = 4;
    const int64_t max_tiles = g.in_channels + g.out_channels > 640 ? 32 : 64;
    const int64_t wanted = by_channels ? tiles : std::clamp(tiles / kMinBlocks, kLanesOfTiles, max_tiles);
    block_rows = std::max<int64_t>(1, std::min(wanted / columns, all_rows));
    blocks = (all_rows + block_rows - 1) / block_rows;
    lanes = (block_rows * columns + kLanes<float> - 1) / kLanes<float> * kLanes<float>;
    padded = whole_panels(lanes);
    const int64_t parts = by_channels ? (g.out_channels + kChannelsAtATime - 1) / kChannelsAtATime : 1;
    channels = (g.out_channels + parts - 1) / parts;
    ranges = (g.in_channels + kDepth - 1) / kDepth;
    depth = by_channels ? (g.in_channels + ranges - 1) / ranges : g.in_channels;
    // A panel's width is added between the matrices of two points: at a distance of a power of two all 36 would map to
    // one cache set.
    weight_stride = whole_panels(channels * depth) + kLanesOfTiles;
    value_stride = g.in_channels * padded + kLanesOfTiles;
    result_stride = channels * padded + kLanesOfTiles;
    line = whole_panels(columns * kResults + kPoints) + kLanesOfTiles;
  }

  int64_t weights() const { return kMatrices * weight_stride; }
  int64_t values() const { return kMatrices * value_stride; }
  int64_t results() const { return kMatrices * result_stride; }
  int64_t lines() const { return (1 + block_rows * kPoints) * line; }
  int64_t begin_of_range(int64_t r) const { return g.in_channels * r / ranges; }

  static constexpr int64_t kMatrices = kPoints * kPoints;  // one for each pair of points
  static constexpr int64_t kDepth = 384;                   // of a product: a panel of values stays in the L1 cache
  static constexpr int64_t kChannelsAtATime = 12;          // a block of rows in registers
  static int64_t whole_panels(int64_t n) { return (n + kLanesOfTiles - 1) / kLanesOfTiles * kLanesOfTiles; }

  const Conv2dGeometry& g;
  int64_t rows, columns;  // of tiles in an image
  bool by_channels;
  int64_t block_rows, blocks;
  int64_t lanes, padded;                               // tiles of a block, up to whole vectors and to whole panels
  int64_t channels, depth;                             // out and in channels whose weights are transformed at a time
  int64_t ranges;                                      // of in channels, that products sum one after the other
  int64_t weight_stride, value_stride, result_stride;  // between the matrices of two points
  int64_t line;  // floats of a row of tiles, and a vector that may be read past it
};

/// Rows of tiles, counted through all images.
struct TileRows {
  int64_t first, end;
};

}  // namespace
}  // namespace terrace
