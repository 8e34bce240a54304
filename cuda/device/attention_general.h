// What the attention kernels for any type and any width share: products of tiles by plain multiply-adds. A block is
// 16 x 16 threads; each has R x R sums in registers, and operands are staged through shared memory. Results wider than
// a block's registers are split among blocks, which then share no scores.
#pragma once

#include "cuda/device/attention.h"
#include "cuda/device/collectives.h"

namespace terrace::cuda {

inline constexpr int kGeneralSide = 16, kGeneralThreads = kGeneralSide * kGeneralSide;
inline constexpr int kGeneralDepth = 16;  // how much of a product's inner dimension is staged at once
template <class T>
inline constexpr int kGeneralQueryTile = sizeof(T) == 8 ? 32 : 64;  // queries, and columns of a result

/// Rows of an operand in memory; those from `count` on are read as zeros.
template <class T>
struct TileRows {
  const T* data;
  int64_t stride;
  int count;
};

template <class T>
__device__ TileRows<T> tile_rows(const AttentionRows<const T>& rows, int64_t b, int64_t h, int begin, int end,
                                 int size) {
  return {head_rows(rows, b, h) + begin * rows.token, rows.token, end - begin < size ? end - begin : size};
}

/// This thread's R x R elements of a tile: rows own_row() + 16 i, columns own_column() + 16 j. The 16 threads of a row
/// are half a warp.
__device__ inline int own_row() { return static_cast<int>(threadIdx.x) / kGeneralSide; }
__device__ inline int own_column() { return static_cast<int>(threadIdx.x) % kGeneralSide; }

template <class A, class Combine>
__device__ A reduce_row(A value, Combine combine) {
  return lanes_reduce<kGeneralSide>(value, combine);
}

template <class A, int R>
struct GeneralProducts {
  static constexpr int kTile = kGeneralSide * R;
  // Rows are one element longer than needed, so that threads that write a column are in different banks.
  using Stage = A[kGeneralDepth][kTile + 1];
  using Weights = A[kTile][kTile + 1];

  /// sums += left right^T over D channels.
  template <class T>
  __device__ static void add_scores(const TileRows<T>& left, const TileRows<T>& right, int D, A (&sums)[R][R]) {
    TERRACE_SHARED(stage_left, Stage);
    TERRACE_SHARED(stage_right, Stage);
    for (int first = 0; first < D; first += kGeneralDepth) {
      __syncthreads();
      const int d = first + own_column();
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const int r = own_row() + kGeneralSide * i;
        stage_left[own_column()][r] = d < D && r < left.count ? static_cast<A>(left.data[r * left.stride + d]) : A(0);
        stage_right[own_column()][r] =
            d < D && r < right.count ? static_cast<A>(right.data[r * right.stride + d]) : A(0);
      }
      __syncthreads();
      multiply(
          D - first < kGeneralDepth ? D - first : kGeneralDepth, [&](int k, int r) { return stage_left[k][r]; },
          stage_right, sums);
    }
  }

  /// sums += weights right, the columns from `first_column` on. Weights of rows from right.count on are not read.
  template <class T>
  __device__ static void add_weighted(const Weights& weights, const TileRows<T>& right, int first_column, int D,
                                      A (&sums)[R][R]) {
    TERRACE_SHARED(stage, Stage);
    for (int first = 0; first < right.count; first += kGeneralDepth) {
      __syncthreads();
      for (int e = static_cast<int>(threadIdx.x); e < kGeneralDepth * kTile; e += kGeneralThreads) {
        const int k = first + e / kTile, c = first_column + e % kTile;
        stage[e / kTile][e % kTile] =
            k < right.count && c < D ? static_cast<A>(right.data[k * right.stride + c]) : A(0);
      }
      __syncthreads();
      multiply(
          right.count - first < kGeneralDepth ? right.count - first : kGeneralDepth,
          [&](int k, int r) { return weights[r][first + k]; }, stage, sums);
    }
  }

 private:
  template <class Left>
  __device__ static void multiply(int depth, const Left& left, const Stage& right, A (&sums)[R][R]) {
    for (int k = 0; k < depth; ++k) {
      A x[R], y[R];
#pragma unroll
      for (int i = 0; i < R; ++i) {
        x[i] = left(k, own_row() + kGeneralSide * i);
        y[i] = right[k][own_column() + kGeneralSide * i];
      }
#pragma unroll
      for (int i = 0; i < R; ++i) {
#pragma unroll
        for (int j = 0; j < R; ++j) { sums[i][j] += x[i] * y[j]; }
      }
    }
  }
};

/// Where a block works: a tile, a head, and which columns of the result.
struct GeneralBlock {
  int tile, h, first_column;
  int64_t b, head;  // head = b H + h

  template <class T>
  __device__ GeneralBlock(const AttentionCall<T>& call, int tiles, int columns) {
    const int groups = (call.D + columns - 1) / columns;
    const int64_t item = blockIdx.x / static_cast<unsigned>(tiles);
    tile = tiles - 1 -
           static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles));  // the tiles with the most keys start first
    first_column = static_cast<int>(item % groups) * columns;
    head = item / groups;
    h = static_cast<int>(head % call.H);
    b = head / call.H;
  }
};

/// Calls f(i, row, column, sum), with row = own_row() + 16 i, for this thread's elements of the results that are within
/// `rows` and D.
template <int R, int Chunks, class A, class F>
__device__ void for_results(const A (&sums)[Chunks][R][R], int rows, int first_column, int D, F&& f) {
#pragma unroll
  for (int c = 0; c < Chunks; ++c) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const int r = own_row() + kGeneralSide * i, d = first_column + (c * R + j) * kGeneralSide + own_column();
        if (r < rows && d < D) { f(i, r, d, sums[c][i][j]); }
      }
    }
  }
}

/// Calls f(rows and columns of a thread, tiles of columns of a block) for results of D columns.
template <class T, class F>
void with_general_tiles(int D, F&& f) {
  constexpr int kTile = kGeneralQueryTile<T>;
  constexpr std::integral_constant<int, kTile / kGeneralSide> kRows;
  if (D <= kTile) { return f(kRows, std::integral_constant<int, 1>{}); }
  if (D <= 2 * kTile) { return f(kRows, std::integral_constant<int, 2>{}); }
  f(kRows, std::integral_constant<int, 4>{});
}

template <class T>
Grid general_grid(const AttentionCall<T>& call, int tiles, int chunks) {
  return Grid(int64_t{call.B} * call.H * tiles * blocks_for(call.D, chunks * kGeneralQueryTile<T>), kGeneralThreads);
}

}  // namespace terrace::cuda
