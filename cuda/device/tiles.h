// Products of tiles by plain multiply-adds: a block computes kTile x kTile results, its threads kEach x kEach of them.
// What the two operands are is the caller's: matrices (kernels/product.cu), images and weights (kernels/conv2d.cu).
#pragma once

#include "cuda/device/kernel.h"

namespace terrace::cuda {

inline constexpr int kTile = 32;   // rows and columns
inline constexpr int kDepth = 16;  // terms of the sums at a time
inline constexpr int kEach = 4;    // rows and columns of a thread
inline constexpr int kTileSide = kTile / kEach;
inline constexpr int kTileThreads = kTileSide * kTileSide;

/// In which direction neighbours of an operand are neighbours in memory; threads are given elements in that order.
enum class Neighbours : uint8_t { kAlongK, kAcross };

/// tile[k][i] = element(i, first_k + k), in shared memory.
template <class A, class Element>
__device__ void load_tile(A (&tile)[kDepth][kTile + 1], Neighbours neighbours, int64_t first_k,
                          const Element& element) {
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kDepth; e += kTileThreads) {
    const bool along = neighbours == Neighbours::kAlongK;
    const int i = along ? e / kDepth : e % kTile, k = along ? e % kDepth : e / kTile;
    tile[k][i] = element(i, first_k + k);
  }
}

/// An operand: element(i, k) for the row (column) i of the tile and term k, 0 outside; and how it lies in memory.
template <class Element>
struct TileOperand {
  Neighbours neighbours;
  Element element;
};
template <class Element>
__device__ TileOperand<Element> tile_operand(Neighbours neighbours, const Element& element) {
  return {neighbours, element};
}

/// Calls store(row, column, sum over k < K of a(row, k) b(column, k)) for this thread's results of the block's tile.
/// Each sum is in the order of k.
template <class A, class ElementA, class ElementB, class Store>
__device__ void multiply_tile(int64_t K, const TileOperand<ElementA>& a, const TileOperand<ElementB>& b,
                              const Store& store) {
  using Tile = A[kDepth][kTile + 1];
  TERRACE_SHARED(tile_a, Tile);
  TERRACE_SHARED(tile_b, Tile);
  const int row = static_cast<int>(threadIdx.x) / kTileSide, column = static_cast<int>(threadIdx.x) % kTileSide;
  A sums[kEach][kEach] = {};
  for (int64_t k = 0; k < K; k += kDepth) {
    load_tile(tile_a, a.neighbours, k, a.element);
    load_tile(tile_b, b.neighbours, k, b.element);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j) {
          sums[i][j] += tile_a[d][row + i * kTileSide] * tile_b[d][column + j * kTileSide];
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) { store(row + i * kTileSide, column + j * kTileSide, sums[i][j]); }
  }
}

}  // namespace terrace::cuda
