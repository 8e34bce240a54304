// Gradients of attention of bf16 heads of 64 channels on tensor cores. Two kernels, each the only writer of its
// results:
//
//   queries: a block has 64 queries, a warp 16, and loads keys and values tile by tile.
//            Scores are (queries, keys): dq = dS k.
//   keys:    a block has 64 keys, a warp 16, and loads queries and dy tile by tile.
//            Scores are (keys, queries): dv = P^T dy, dk = dS^T q.
//
// Either way the scores' gradients are already where the next product's left operand must be, in the registers of the
// warp that computed them. Of a loaded tile 32 rows are taken at a time, so that a thread's scores leave registers for
// three blocks on a multiprocessor.
#include <cmath>

#include "cuda/device/attention_tiles.h"
#include "cuda/device/collectives.h"
#include "cuda/kernels/attention.h"

namespace terrace::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
constexpr int kWarpRows = 16, kRows = kWarps * kWarpRows;  // that a block owns
constexpr int kPart = 32, kPartBlocks = kPart / 8;         // rows of a loaded tile that are taken at a time

/// What scores of a query need. All zeros stand for a query beyond the last one: it sees no key.
struct alignas(16) Query {
  float factor;  // turns a product into the exponent of a power of 2
  float lse;     // log-sum-exp, to the base 2
  float dot;     // rowsum(y dy)
  int key_end;
};

/// queries (B, H, Lq), for both kernels.
__global__ void __launch_bounds__(kThreads)
    describe_queries(const __grid_constant__ AttentionCall<BFloat16> call, Query* queries) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{call.B} * call.H * call.Lq) { return; }
  const float factor = call.factor(static_cast<int>(i / call.Lq % call.H)) * kLog2e;
  queries[i] = {call.query_norms ? factor * call.query_norms[i] : factor, call.lse[i] * kLog2e, call.dots[i],
                key_end_of(call.scales, static_cast<int>(i % call.Lq))};
}

/// The probability of a score and the score's gradient; both 0 where the key is hidden.
template <Mask mask>
struct ScoreGradient {
  float probability, gradient;
  __device__ ScoreGradient(float product, const Query& query, float dproduct, int key)
      : probability(exp2_approx(product * query.factor - query.lse)), gradient(probability * (dproduct - query.dot)) {
    if (mask == Mask::kYes && key >= query.key_end) { probability = gradient = 0; }
  }
};

/// A normalised row acts by u = x / |x| alone, so that its gradient has no component along x. `sums` are the gradients
/// by u of the warp's rows of x: subtracts that component. `inverse` is 1/|x|; `along` receives x . sums of this lane's
/// two rows.
__device__ void remove_along(BFloat16* x, const float (&inverse)[2], Sums (&sums)[kTileBlocks], float (&along)[2]) {
  const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + 8 * half + lane_id() / 4;
    along[half] = 0;
#pragma unroll
    for (int n = 0; n < kTileBlocks; ++n) {
      const Words words = *words_of(x, row, n);
      along[half] += static_cast<float>(words.v[0]) * sums[n][2 * half];
      along[half] += static_cast<float>(words.v[1]) * sums[n][2 * half + 1];
    }
    along[half] = reduce_quad(along[half], Plus{});
    const float part = is_clamped(inverse[half]) ? 0.0f : inverse[half] * inverse[half] * along[half];
#pragma unroll
    for (int n = 0; n < kTileBlocks; ++n) {
      const Words words = *words_of(x, row, n);
      sums[n][2 * half] -= part * static_cast<float>(words.v[0]);
      sums[n][2 * half + 1] -= part * static_cast<float>(words.v[1]);
    }
  }
}

/// Writes factor * sums of the warp's rows to memory, by way of the warp's rows of a tile: whole chunks of 16 bytes.
__device__ void store_sums(BFloat16* tile, const Sums (&sums)[kTileBlocks], const float (&factor)[2], BFloat16* to,
                           int64_t stride, int count) {
  const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + 8 * half + lane_id() / 4;
#pragma unroll
    for (int n = 0; n < kTileBlocks; ++n) {
      *words_of(tile, row, n) =
          std::bit_cast<Words>(pack_bf16(factor[half] * sums[n][2 * half], factor[half] * sums[n][2 * half + 1]));
    }
  }
  store_rows<kWarpRows>(tile, first, to, stride, count);
}

// --- dq --------------------------------------------------------------------------------------------------------------

struct QueriesShared {
  SharedTile<kRows> queries, dy;
  KeyStages stages;
};

/// sums += dS k over kPart keys from row `first` of a stage on; `key` is the first of them.
template <Heads heads, Mask mask>
__device__ void add_keys(const Fragment (&queries)[1][kTileSteps], const Fragment (&dy)[1][kTileSteps],
                         const Query (&rows)[2], const KeyStages& stages, int stage, int first, int key,
                         Sums (&sums)[1][kTileBlocks]) {
  Sums scores[1][kPartBlocks] = {}, dprobs[1][kPartBlocks] = {};
  multiply_transposed(queries, stages.keys[stage], first, scores);
  multiply_transposed(dy, stages.values[stage], first, dprobs);
#pragma unroll
  for (int n = 0; n < kPartBlocks; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int c = 8 * n + 2 * (lane_id() % 4) + i % 2;
      const float norm = heads == Heads::kNormalized ? stages.norms[stage][first + c] : 1.0f;
      const ScoreGradient<mask> s(scores[0][n][i] * norm, rows[i / 2], dprobs[0][n][i], key + c);
      scores[0][n][i] = s.gradient * norm;
    }
  }
  Fragment gradients[1][kPart / 16];
#pragma unroll
  for (int k = 0; k < kPart / 16; ++k) { as_operand(scores[0][2 * k], scores[0][2 * k + 1], gradients[0][k]); }
  multiply(gradients, stages.keys[stage], first, sums);
}

template <Heads heads>
__global__ void __launch_bounds__(kThreads, 3)
    backward_queries(const __grid_constant__ AttentionCall<BFloat16> call, const Query* queries,
                     const __grid_constant__ AttentionScales merged, int tiles) {
  TERRACE_DYNAMIC_SHARED(memory, QueriesShared);
  QueriesShared& shared = *memory;
  const int64_t head = blockIdx.x / static_cast<unsigned>(tiles), b = head / call.H, h = head % call.H;
  // Blocks start in the order of their numbers: the last tiles, which have the most keys, come first.
  const int index = tiles - 1 - static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles));
  const QueryTile tile = query_tile(merged, kRows, index);
  const int count = tile.end - tile.begin;
  RowStream<kRows, kThreads>(call.q, b, h, tile.begin).load(shared.queries, count);
  RowStream<kRows, kThreads>(call.dy, b, h, tile.begin).load(shared.dy, count);
  copy_async_commit();
  KeyStream<kThreads> keys(call, b, h, tile.key_end);
  keys.load(shared.stages, 0);

  const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;  // row of the tile
  Query rows[2];
  float inverse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + 8 * half + lane_id() / 4;
    const int64_t query = head * call.Lq + tile.begin + row;
    rows[half] = row < count ? queries[query] : Query{};
    inverse[half] = heads == Heads::kNormalized && row < count ? call.query_norms[query] : 0.0f;
  }
  const SeenKeys seen(call.scales, tile.begin + first, kWarpRows, tile.end);

  Fragment query_operand[1][kTileSteps], dy_operand[1][kTileSteps];
  Sums sums[1][kTileBlocks] = {};
  copy_async_wait<1>();
  __syncthreads();
  load_operand(shared.queries, first, query_operand);
  load_operand(shared.dy, first, dy_operand);
  for (int key = 0, stage = 0; key < tile.key_end; key += kStageRows, stage ^= 1) {
    keys.load(shared.stages, stage ^ 1);
    copy_async_wait<1>();
    __syncthreads();
    for (int part = 0; part < kStageRows && key + part < seen.any; part += kPart) {
      if (key + part + kPart <= seen.all) {
        add_keys<heads, Mask::kNo>(query_operand, dy_operand, rows, shared.stages, stage, part, key + part, sums);
      } else {
        add_keys<heads, Mask::kYes>(query_operand, dy_operand, rows, shared.stages, stage, part, key + part, sums);
      }
    }
    __syncthreads();
  }
  copy_async_wait<0>();
  float along[2] = {};
  const float factor[2] = {rows[0].factor * kLn2, rows[1].factor * kLn2};  // 0 for rows from `count` on
  if (heads == Heads::kNormalized) { remove_along(shared.queries, inverse, sums[0], along); }
  store_sums(shared.queries, sums[0], factor, head_rows(call.dq, b, h) + tile.begin * call.dq.token, call.dq.token,
             count);
  if (!call.dlog_parts) { return; }
  float share = lane_id() % 4 == 0 ? factor[0] * along[0] + factor[1] * along[1] : 0.0f;
  share = block_sum<kThreads>(share);
  if (threadIdx.x == 0) { call.dlog_parts[head * tiles + index] = share; }
}

// --- dk and dv -------------------------------------------------------------------------------------------------------

struct KeysShared {
  SharedTile<kRows> keys, values;
  // Two stages, as KeyStages:
  SharedTile<kStageRows> queries[2], dy[2];
  Query rows[2][kStageRows];
};

/// Loads the queries of a head from `first` on, their dy and what describes them, tile by tile.
class QueryStream {
 public:
  __device__ QueryStream(const AttentionCall<BFloat16>& call, const Query* queries, int64_t b, int64_t h, int first)
      : queries_(call.q, b, h, first),
        dy_(call.dy, b, h, first),
        rows_(queries + (b * call.H + h) * call.Lq + first + threadIdx.x),
        left_(call.Lq - first) {}
  /// As KeyStream::load.
  __device__ void load(KeysShared& to, int stage) {
    if (left_ > 0) {
      queries_.load(to.queries[stage], left_);
      dy_.load(to.dy[stage], left_);
      const int c = static_cast<int>(threadIdx.x);
      if (c < kStageRows && c < left_) { copy_async_16(&to.rows[stage][c], rows_); }
      if (c < kStageRows && c >= left_) { zero_async_16(&to.rows[stage][c]); }
      rows_ += kStageRows;
      left_ -= kStageRows;
    }
    copy_async_commit();
  }

 private:
  RowStream<kStageRows, kThreads> queries_, dy_;
  const Query* rows_;
  int left_;
};

/// What a lane keeps of its warp's keys.
struct KeyWarp {
  Fragment keys[1][kTileSteps], values[1][kTileSteps];
  Sums dkeys[1][kTileBlocks], dvalues[1][kTileBlocks];
  float norms[2];
};

/// Adds the contributions of kPart queries, from row `first` of a stage on. `key` is the first of this lane's two keys.
template <Heads heads, Mask mask>
__device__ void add_queries(KeyWarp& warp, const KeysShared& shared, int stage, int first, int key) {
  Sums scores[1][kPartBlocks] = {}, dprobs[1][kPartBlocks] = {};
  multiply_transposed(warp.keys, shared.queries[stage], first, scores);
  multiply_transposed(warp.values, shared.dy[stage], first, dprobs);
#pragma unroll
  for (int n = 0; n < kPartBlocks; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const Query query = shared.rows[stage][first + 8 * n + 2 * (lane_id() % 4) + i];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float &score = scores[0][n][2 * half + i], &dprob = dprobs[0][n][2 * half + i];
        if (heads == Heads::kNormalized) { score *= warp.norms[half]; }
        const ScoreGradient<mask> s(score, query, dprob, key + 8 * half);
        score = s.probability;
        dprob = s.gradient * query.factor;
      }
    }
  }
  Fragment operand[1][kPart / 16];
#pragma unroll
  for (int k = 0; k < kPart / 16; ++k) { as_operand(scores[0][2 * k], scores[0][2 * k + 1], operand[0][k]); }
  multiply(operand, shared.dy[stage], first, warp.dvalues);
#pragma unroll
  for (int k = 0; k < kPart / 16; ++k) { as_operand(dprobs[0][2 * k], dprobs[0][2 * k + 1], operand[0][k]); }
  multiply(operand, shared.queries[stage], first, warp.dkeys);
}

/// The first query that sees `key`; Lq where none does.
__device__ int first_query(const AttentionCall<BFloat16>& call, int key) {
  int s = 0;
  while (s < call.scales.count && call.scales.key_end[s] <= key) { ++s; }
  return s < call.scales.count ? call.scales.query_begin(s) : call.Lq;
}

template <Heads heads>
__global__ void __launch_bounds__(kThreads, 3)
    backward_keys(const __grid_constant__ AttentionCall<BFloat16> call, const Query* queries, int tiles) {
  TERRACE_DYNAMIC_SHARED(memory, KeysShared);
  KeysShared& shared = *memory;
  const int64_t head = blockIdx.x / static_cast<unsigned>(tiles), b = head / call.H, h = head % call.H;
  const int key = static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles)) * kRows, count = call.Lk - key;
  RowStream<kRows, kThreads>(call.k, b, h, key).load(shared.keys, count);
  RowStream<kRows, kThreads>(call.v, b, h, key).load(shared.values, count);
  copy_async_commit();
  int query = first_query(call, key);
  QueryStream stream(call, queries, b, h, query);
  stream.load(shared, 0);

  const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;
  KeyWarp warp{};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + 8 * half + lane_id() / 4;
    warp.norms[half] = heads == Heads::kNormalized && row < count ? call.key_norms[head * call.Lk + key + row] : 1.0f;
  }
  copy_async_wait<1>();
  __syncthreads();
  load_operand(shared.keys, first, warp.keys);
  load_operand(shared.values, first, warp.values);
  for (int stage = 0; query < call.Lq; query += kStageRows, stage ^= 1) {
    stream.load(shared, stage ^ 1);
    copy_async_wait<1>();
    __syncthreads();
    const bool all_seen = shared.rows[stage][0].key_end >= key + kRows && query + kStageRows <= call.Lq;
    for (int part = 0; part < kStageRows && query + part < call.Lq; part += kPart) {
      if (all_seen) {
        add_queries<heads, Mask::kNo>(warp, shared, stage, part, key + first + lane_id() / 4);
      } else {
        add_queries<heads, Mask::kYes>(warp, shared, stage, part, key + first + lane_id() / 4);
      }
    }
    __syncthreads();
  }
  copy_async_wait<0>();
  const float one[2] = {1.0f, 1.0f}, factor[2] = {warp.norms[0] * kLn2, warp.norms[1] * kLn2};
  float along[2];
  if (heads == Heads::kNormalized) { remove_along(shared.keys, warp.norms, warp.dkeys[0], along); }
  store_sums(shared.keys, warp.dkeys[0], factor, head_rows(call.dk, b, h) + key * call.dk.token, call.dk.token, count);
  store_sums(shared.values, warp.dvalues[0], one, head_rows(call.dv, b, h) + key * call.dv.token, call.dv.token, count);
}

}  // namespace

int mma_query_tiles(const AttentionScales& scales) { return query_tiles(merged_scales(scales, kRows), kRows); }

void mma_attention_backward(const AttentionCall<BFloat16>& call) {
  const int64_t heads = int64_t{call.B} * call.H;
  const Scratch memory(sizeof(Query) * static_cast<size_t>(heads * call.Lq));
  Query* queries = memory.as<Query>();
  launch("attention queries", describe_queries, Grid(blocks_for(heads * call.Lq, kThreads), kThreads), call, queries);
  const AttentionScales merged = merged_scales(call.scales, kRows);
  const int tiles = query_tiles(merged, kRows), key_tiles = static_cast<int>(blocks_for(call.Lk, kRows));
  const auto by_queries = call.head_factor ? backward_queries<Heads::kNormalized> : backward_queries<Heads::kPlain>;
  launch("attention backward: queries", by_queries, Grid(heads * tiles, kThreads, sizeof(QueriesShared)), call, queries,
         merged, tiles);
  const auto by_keys = call.head_factor ? backward_keys<Heads::kNormalized> : backward_keys<Heads::kPlain>;
  launch("attention backward: keys", by_keys, Grid(heads * key_tiles, kThreads, sizeof(KeysShared)), call, queries,
         key_tiles);
}

}  // namespace terrace::cuda
