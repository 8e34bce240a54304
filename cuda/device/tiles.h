// Products of tiles by plain multiply-adds: a block computes kTile x kTile results, a thread kPerThread x kPerThread of
// them. The caller says by functions what the two operands are: matrices (kernels/product.cu), images and weights
// (kernels/conv2d.cu).
#pragma once

#include "cuda/device/kernel.h"

namespace terrace::cuda {

inline constexpr int kTile = 32;      // rows and columns
inline constexpr int kDepth = 16;     // terms of the sums at a time
inline constexpr int kPerThread = 4;  // rows, and columns, of a thread
inline constexpr int kTileSide = kTile / kPerThread;
inline constexpr int kTileThreads = kTileSide * kTileSide;

/// The dimension in which an operand is contiguous in memory: along the sum's index k or across it. Neighbouring
/// threads load neighbouring elements of it, so that their loads coalesce.
enum class Contiguous : uint8_t { kAlongK, kAcrossK };

/// tile[k][i] = element(i, first_k + k), in shared memory. The rows of a tile are one element longer than needed, so
/// that threads that write a column are in different banks.
template <class A, class Element>
__device__ void load_tile(A (&tile)[kDepth][kTile + 1], Contiguous contiguous, int64_t first_k,
                          const Element& element) {
  for (int e = static_cast<int>(threadIdx.x); e < kTile * kDepth; e += kTileThreads) {
    const bool along = contiguous == Contiguous::kAlongK;
    const int i = along ? e / kDepth : e % kTile, k = along ? e % kDepth : e / kTile;
    tile[k][i] = element(i, first_k + k);
  }
}

/// An operand: element(i, k) for the row (column) i of the tile and term k of the sum, 0 outside; and its contiguous
/// dimension.
template <class Element>
struct TileOperand {
  Contiguous contiguous;
  Element element;
};
template <class Element>
__device__ TileOperand<Element> tile_operand(Contiguous contiguous, const Element& element) {
  return {contiguous, element};
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
  A sums[kPerThread][kPerThread] = {};
  for (int64_t k = 0; k < K; k += kDepth) {
    load_tile(tile_a, a.contiguous, k, a.element);
    load_tile(tile_b, b.contiguous, k, b.element);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
          sums[i][j] += tile_a[d][row + i * kTileSide] * tile_b[d][column + j * kTileSide];
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) { store(row + i * kTileSide, column + j * kTileSide, sums[i][j]); }
  }
}

}  // namespace terrace::cuda
