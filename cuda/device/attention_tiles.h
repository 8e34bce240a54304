// Tiles of 64 channels of bf16 in shared memory, and their products on tensor cores by one warp.
//
// A row is 128 bytes, eight chunks of 16. Chunk c of row r is stored as chunk c ^ (r % 8) of the row (a swizzle), so
// that neither the eight rows that ldmatrix reads at once nor the eight chunks that are copied at once share banks.
#pragma once

#include "cuda/device/attention.h"
#include "cuda/device/mma.h"

namespace terrace::cuda {

inline constexpr int kTileWidth = 64;                            // channels
inline constexpr int kTileSteps = kTileWidth / 16;               // inner steps of a product over the channels
inline constexpr int kTileBlocks = kTileWidth / 8;               // 8-column blocks of sums as wide as a tile
inline constexpr int kChunk = 8, kChunks = kTileWidth / kChunk;  // elements of 16 bytes; chunks of a row

template <int Rows>
using SharedTile = BFloat16[Rows * kTileWidth];

__device__ inline int lane_id() { return static_cast<int>(threadIdx.x) % kWarpSize; }

__device__ inline BFloat16* chunk_of(BFloat16* tile, int row, int chunk) {
  return tile + row * kTileWidth + (chunk ^ row % kChunks) * kChunk;
}
__device__ inline const BFloat16* chunk_of(const BFloat16* tile, int row, int chunk) {
  return chunk_of(const_cast<BFloat16*>(tile), row, chunk);
}

/// Copies the rows of an operand into tiles: each load takes the next ones. All threads of a block together.
template <int Rows, int Threads>
class RowStream {
 public:
  __device__ RowStream(const AttentionRows<const BFloat16>& rows, int64_t b, int64_t h, int first)
      : next_(head_rows(rows, b, h) + (first + own_row()) * rows.token + own_chunk() * kChunk), stride_(rows.token) {}

  /// Copies the next `count` rows asynchronously, and fills the tile up to `Rows` with rows of zeros.
  __device__ void load(BFloat16* tile, int count) {
    BFloat16* to = chunk_of(tile, own_row(), own_chunk());
#pragma unroll
    for (int row = 0; row < Rows; row += kStep) {
      if (row + own_row() < count) {
        copy_async_16(to + row * kTileWidth, next_);
      } else {
        zero_async_16(to + row * kTileWidth);
      }
      next_ += kStep * stride_;
    }
  }

 private:
  static constexpr int kStep = Threads / kChunks;  // rows that the block copies at once
  static_assert(Rows % kStep == 0 && kStep % kChunks == 0);
  __device__ static int own_row() { return static_cast<int>(threadIdx.x) / kChunks; }
  __device__ static int own_chunk() { return static_cast<int>(threadIdx.x) % kChunks; }

  const BFloat16* next_;
  int64_t stride_;
};

/// Writes those of the rows [first, first + Rows) of the tile that are below `count` to memory: called by the warp that
/// filled them.
template <int Rows>
__device__ void store_rows(const BFloat16* tile, int first, BFloat16* rows, int64_t stride, int count) {
  using Chunk = Pack<BFloat16, kChunk>;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < Rows * kChunks / kWarpSize; ++i) {
    const int e = lane_id() + i * kWarpSize, row = first + e / kChunks, chunk = e % kChunks;
    if (row >= count) { continue; }
    *reinterpret_cast<Chunk*>(rows + row * stride + chunk * kChunk) =
        *reinterpret_cast<const Chunk*>(chunk_of(tile, row, chunk));
  }
}

using Words = Pack<BFloat16, 2>;

/// The two neighbouring columns of an 8-column block that a lane's sums are of (the pair in cuda/device/mma.h).
__device__ inline Words* words_of(BFloat16* tile, int row, int block) {
  return reinterpret_cast<Words*>(chunk_of(tile, row, block) + 2 * (lane_id() % 4));
}

using Fragment = uint32_t[4];  // a lane's part of 16 x 16 elements of a left operand
using Sums = float[4];         // a lane's part of 16 x 8 sums

/// Rows [first, first + 16 M) of a tile as left operands.
template <int M>
__device__ void load_operand(const BFloat16* tile, int first, Fragment (&a)[M][kTileSteps]) {
  const int lane = lane_id();
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int k = 0; k < kTileSteps; ++k) {
      ldmatrix_x4(a[m][k], chunk_of(tile, first + 16 * m + lane % 16, 2 * k + lane / 16));
    }
  }
}

/// Two neighbouring blocks of sums, rounded to bf16, as the left operand of a product over their 16 columns: mma leaves
/// sums in the lanes that the next mma reads them from, so that they need not go through shared memory.
__device__ inline void as_operand(const Sums& left, const Sums& right, Fragment& a) {
  a[0] = pack_bf16(left[0], left[1]);
  a[1] = pack_bf16(left[2], left[3]);
  a[2] = pack_bf16(right[0], right[1]);
  a[3] = pack_bf16(right[2], right[3]);
}

/// sums (16 M, 8 N) += a (16 M, 64) times the transposed rows [first, first + 8 N) of a tile.
template <int M, int N>
__device__ void multiply_transposed(const Fragment (&a)[M][kTileSteps], const BFloat16* tile, int first,
                                    Sums (&sums)[M][N]) {
  const int lane = lane_id();
#pragma unroll
  for (int n = 0; n < N; n += 2) {
#pragma unroll
    for (int k = 0; k < kTileSteps; ++k) {
      uint32_t words[4];
      ldmatrix_x4(words, chunk_of(tile, first + 8 * n + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
      const uint32_t left[2] = {words[0], words[1]}, right[2] = {words[2], words[3]};
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_m16n8k16(sums[m][n], a[m][k], left);
        mma_m16n8k16(sums[m][n + 1], a[m][k], right);
      }
    }
  }
}

/// sums (16 M, 64) += a (16 M, 16 K) times the rows [first, first + 16 K) of a tile.
template <int M, int K>
__device__ void multiply(const Fragment (&a)[M][K], const BFloat16* tile, int first, Sums (&sums)[M][kTileBlocks]) {
  const int lane = lane_id();
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int n = 0; n < kTileBlocks; n += 2) {
      uint32_t words[4];
      ldmatrix_x4_transposed(words, chunk_of(tile, first + 16 * k + lane % 16, n + lane / 16));
      const uint32_t left[2] = {words[0], words[1]}, right[2] = {words[2], words[3]};
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_m16n8k16(sums[m][n], a[m][k], left);
        mma_m16n8k16(sums[m][n + 1], a[m][k], right);
      }
    }
  }
}

/// Sum, or maximum, over the four lanes that hold a row of sums.
template <class Combine>
__device__ float reduce_quad(float value, Combine combine) {
  value = combine(value, __shfl_xor_sync(kFullWarp, value, 1));
  return combine(value, __shfl_xor_sync(kFullWarp, value, 2));
}

// --- What the kernels of both directions do alike --------------------------------------------------------------------

inline constexpr float kLog2e = 1.44269504088896341f, kLn2 = 0.693147180559945309f;

enum class Heads : uint8_t { kPlain, kNormalized };
enum class Mask : bool { kNo, kYes };

inline constexpr int kStageRows = 64;  // rows of a tile that passes through a stage

/// Two stages through which the tiles of keys and values pass: products read one while the next tile arrives in the
/// other.
struct KeyStages {
  SharedTile<kStageRows> keys[2], values[2];
  float norms[2][kStageRows];  // 1 / |k|, where heads are normalised
};

/// Loads the keys [0, key_end) of a head, and their values, tile by tile. All threads of a block together.
template <int Threads>
class KeyStream {
 public:
  __device__ KeyStream(const AttentionCall<BFloat16>& call, int64_t b, int64_t h, int key_end)
      : keys_(call.k, b, h, 0), values_(call.v, b, h, 0), left_(key_end) {
    if (call.key_norms) { norms_ = call.key_norms + (b * call.H + h) * call.Lk + threadIdx.x; }
  }
  /// Begins to copy the next kStageRows keys, as one group of asynchronous copies; an empty group where none is left,
  /// so that waiting for all groups but the last always means the tile before.
  __device__ void load(KeyStages& to, int stage) {
    if (left_ > 0) {
      keys_.load(to.keys[stage], left_);
      values_.load(to.values[stage], left_);
      if (norms_) { load_norms(to.norms[stage]); }
      left_ -= kStageRows;
    }
    copy_async_commit();
  }

 private:
  __device__ void load_norms(float* to) {
    const int c = static_cast<int>(threadIdx.x);
    if (c < kStageRows && c < left_) { copy_async_4(to + c, norms_); }
    if (c < kStageRows && c >= left_) { to[c] = 0; }
    norms_ += kStageRows;
  }

  RowStream<kStageRows, Threads> keys_, values_;
  const float* norms_ = nullptr;
  int left_;
};

/// The keys that queries of a warp see: any of them those before `any`, all of them those before `all`.
struct SeenKeys {
  int any, all;

  /// Queries [first, first + rows), of which those before `end` exist.
  __device__ SeenKeys(const AttentionScales& scales, int first, int rows, int end)
      : any(first < end ? key_end_of(scales, (first + rows < end ? first + rows : end) - 1) : 0),
        all(first + rows <= end ? key_end_of(scales, first) : 0) {}
};

}  // namespace terrace::cuda
