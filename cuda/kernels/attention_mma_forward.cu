// Attention of bf16 heads of 64 channels on tensor cores. A block has 128 queries, a warp 32 of them, whose operands,
// scores and results stay in registers; tiles of 64 keys and values arrive by cp.async while products read the tile
// before. A warp leaves out the tiles that none of its queries sees.
//
// With normalised heads q and k are read as they are and the scores are multiplied by 1/|q| and 1/|k|: with a factor of
// up to 100, rounding q/|q| and k/|k| to bf16 would change a score by up to 100 * 2^-8.
#include <cmath>

#include "cuda/device/attention_tiles.h"
#include "cuda/device/collectives.h"
#include "cuda/kernels/attention.h"

namespace terrace::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
constexpr int kRowTiles = 2, kWarpQueries = 16 * kRowTiles, kQueries = kWarps * kWarpQueries;
constexpr int kKeyBlocks = kStageRows / 8;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

struct Shared {
  SharedTile<kQueries> queries;  // in the end the results, on their way to memory
  KeyStages stages;
};

/// One of the rows of which a thread holds scores.
struct Row {
  float factor;  // turns a product into the exponent of a power of 2
  int limit;     // of the keys that it sees
  float top;     // the largest product so far
  float total;   // this thread's share of the sum of powers
};

/// The products of row `half` become powers of 2 relative to the largest product so far, to which the row's sums are
/// rescaled.
template <Heads heads, Mask mask>
__device__ void exponentiate(Row& row, int half, int key, const float* key_norms, Sums (&scores)[kKeyBlocks],
                             Sums (&sums)[kTileBlocks]) {
  float largest = row.top;
#pragma unroll
  for (int n = 0; n < kKeyBlocks; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float& score = scores[n][2 * half + i];
      const int c = 8 * n + 2 * (lane_id() % 4) + i;
      if (heads == Heads::kNormalized) { score *= key_norms[c]; }
      if (mask == Mask::kYes && key + c >= row.limit) { score = kLowest; }
      largest = fmaxf(largest, score);  // skips a NaN, which then reaches the result by the sum
    }
  }
  largest = reduce_quad(largest, [](float a, float b) { return fmaxf(a, b); });
  const float base = largest == kLowest ? 0.0f : largest * row.factor;
  const float shrink = exp2_approx(row.top * row.factor - base);
  row.top = largest;
  row.total *= shrink;
#pragma unroll
  for (int n = 0; n < kKeyBlocks; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float& score = scores[n][2 * half + i];
      score = exp2_approx(score * row.factor - base);
      row.total += score;
    }
  }
#pragma unroll
  for (int n = 0; n < kTileBlocks; ++n) {
    sums[n][2 * half] *= shrink;
    sums[n][2 * half + 1] *= shrink;
  }
}

/// What a lane keeps of its warp's queries.
struct Warp {
  Fragment queries[kRowTiles][kTileSteps];
  Sums sums[kRowTiles][kTileBlocks];
  Row rows[kRowTiles][2];
};

/// Takes the tile of keys and values in a stage; `key` is its first key.
template <Heads heads, Mask mask>
__device__ void add_keys(Warp& warp, const KeyStages& stages, int stage, int key) {
  Sums scores[kRowTiles][kKeyBlocks] = {};
  multiply_transposed(warp.queries, stages.keys[stage], 0, scores);
  Fragment weights[kRowTiles][kStageRows / 16];
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      exponentiate<heads, mask>(warp.rows[m][half], half, key, stages.norms[stage], scores[m], warp.sums[m]);
    }
#pragma unroll
    for (int k = 0; k < kStageRows / 16; ++k) { as_operand(scores[m][2 * k], scores[m][2 * k + 1], weights[m][k]); }
  }
  multiply(weights, stages.values[stage], 0, warp.sums);
}

/// Writes a warp's results, by way of its rows of shared.queries, and the log-sum-exp.
__device__ void finish(const AttentionCall<BFloat16>& call, const QueryTile& tile, int64_t b, int64_t h, Warp& warp,
                       Shared& shared) {
  const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpQueries;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Row& state = warp.rows[m][half];
      const float total = reduce_quad(state.total, Plus{}), inverse = 1.0f / total;
      const int row = first + 16 * m + 8 * half + lane_id() / 4;
#pragma unroll
      for (int n = 0; n < kTileBlocks; ++n) {
        const Sums& sums = warp.sums[m][n];
        *words_of(shared.queries, row, n) =
            std::bit_cast<Words>(pack_bf16(sums[2 * half] * inverse, sums[2 * half + 1] * inverse));
      }
      if (call.lse_out && lane_id() % 4 == 0 && tile.begin + row < tile.end) {
        call.lse_out[(b * call.H + h) * call.Lq + tile.begin + row] =
            (state.top * state.factor + std::log2(total)) * kLn2;
      }
    }
  }
  store_rows<kWarpQueries>(shared.queries, first, head_rows(call.y, b, h) + tile.begin * call.y.token, call.y.token,
                           tile.end - tile.begin);
}

template <Heads heads>
__global__ void __launch_bounds__(kThreads, 2) forward_tile(const __grid_constant__ AttentionCall<BFloat16> call,
                                                            const __grid_constant__ AttentionScales merged, int tiles) {
  TERRACE_DYNAMIC_SHARED(memory, Shared);
  Shared& shared = *memory;
  const int64_t head = blockIdx.x / static_cast<unsigned>(tiles), b = head / call.H, h = head % call.H;
  // Blocks start in the order of their numbers: the last tiles, which have the most keys, come first.
  const QueryTile tile =
      query_tile(merged, kQueries, tiles - 1 - static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles)));
  RowStream<kQueries, kThreads>(call.q, b, h, tile.begin).load(shared.queries, tile.end - tile.begin);
  copy_async_commit();
  KeyStream<kThreads> keys(call, b, h, tile.key_end);
  keys.load(shared.stages, 0);

  Warp warp{};
  const int first = tile.begin + static_cast<int>(threadIdx.x) / kWarpSize * kWarpQueries;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = first + 16 * m + 8 * half + lane_id() / 4;
      const bool exists = query < tile.end;
      float factor = call.factor(static_cast<int>(h)) * kLog2e;
      if (heads == Heads::kNormalized && exists) { factor *= call.query_norms[head * call.Lq + query]; }
      warp.rows[m][half] = {factor, exists ? key_end_of(call.scales, query) : 0, kLowest, 0};
    }
  }
  const SeenKeys seen(call.scales, first, kWarpQueries, tile.end);

  copy_async_wait<1>();
  __syncthreads();
  load_operand(shared.queries, first - tile.begin, warp.queries);
  for (int key = 0, stage = 0; key < tile.key_end; key += kStageRows, stage ^= 1) {
    keys.load(shared.stages, stage ^ 1);
    copy_async_wait<1>();
    __syncthreads();
    if (key + kStageRows <= seen.all) {
      add_keys<heads, Mask::kNo>(warp, shared.stages, stage, key);
    } else if (key < seen.any) {
      add_keys<heads, Mask::kYes>(warp, shared.stages, stage, key);
    }
    __syncthreads();
  }
  copy_async_wait<0>();
  finish(call, tile, b, h, warp, shared);
}

}  // namespace

void mma_attention_forward(const AttentionCall<BFloat16>& call) {
  const AttentionScales merged = merged_scales(call.scales, kQueries);
  const int tiles = query_tiles(merged, kQueries);
  const auto kernel = call.head_factor ? forward_tile<Heads::kNormalized> : forward_tile<Heads::kPlain>;
  launch("attention", kernel, Grid(int64_t{call.B} * call.H * tiles, kThreads, sizeof(Shared)), call, merged, tiles);
}

}  // namespace terrace::cuda
