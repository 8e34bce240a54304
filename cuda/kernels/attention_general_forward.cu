// Attention for any type and any width, forward: a block has a tile of queries, which takes one tile of keys after the
// other.
#include "cuda/device/attention_general.h"
#include "cuda/kernels/attention.h"
#include "tensor/base/math.h"

namespace terrace::cuda {
namespace {

template <class A>
constexpr A kLowest = -std::numeric_limits<A>::infinity();

/// What a thread keeps of its R rows of queries while tile after tile of keys is taken (the online softmax).
template <int R, int Chunks, class A>
struct ForwardRows {
  A factor[R];           // of the products q k, before the keys' norms
  A largest[R];          // score so far
  A total[R];            // this thread's share of the sum of exp(score - largest)
  A sums[Chunks][R][R];  // of exp(score - largest) v

  /// The products q k of a tile of keys, of which `count` exist, become scores.
  __device__ void scale(A (&scores)[R][R], int count, const A* key_norms) const {
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const int c = own_column() + kGeneralSide * j;
        scores[i][j] *= factor[i];
        if (key_norms && c < count) { scores[i][j] *= key_norms[c]; }
        if (c >= count) { scores[i][j] = kLowest<A>; }
      }
    }
  }

  /// weights = exp(score - largest), with the largest score so far, to which the sums of earlier tiles are rescaled.
  __device__ void exponentiate(const A (&scores)[R][R], typename GeneralProducts<A, R>::Weights& weights) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      A top = largest[i];
#pragma unroll
      for (int j = 0; j < R; ++j) {
        top = scores[i][j] > top ? scores[i][j] : top;  // skips a NaN, which then reaches the result by the sum
      }
      top = reduce_row(top, [](A a, A b) { return a > b ? a : b; });
      const A base = top == kLowest<A> ? A(0) : top;  // where all scores are -inf: exp(-inf - -inf) would be NaN
      const A shrink = math::exp(largest[i] - base);
      largest[i] = top;
      total[i] *= shrink;
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const A p = math::exp(scores[i][j] - base);
        total[i] += p;
        weights[own_row() + kGeneralSide * i][own_column() + kGeneralSide * j] = p;
#pragma unroll
        for (int c = 0; c < Chunks; ++c) { sums[c][i][j] *= shrink; }
      }
    }
  }
};

/// y and log-sum-exp of a tile of queries.
template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kGeneralThreads)
    forward_tile(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = GeneralProducts<A, R>;
  TERRACE_SHARED(weights, typename P::Weights);
  const GeneralBlock at(call, tiles, Chunks * P::kTile);
  const QueryTile tile = query_tile(call.scales, P::kTile, at.tile);
  const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
  ForwardRows<R, Chunks, A> own = {};
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = own_row() + kGeneralSide * i;
    own.factor[i] = call.factor(at.h);
    if (call.query_norms && r < queries.count) {
      own.factor[i] *= call.query_norms[at.head * call.Lq + tile.begin + r];
    }
    own.largest[i] = kLowest<A>;
  }
  for (int key = 0; key < tile.key_end; key += P::kTile) {
    const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, tile.key_end, P::kTile);
    const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, tile.key_end, P::kTile);
    A scores[R][R] = {};
    P::add_scores(queries, keys, call.D, scores);
    own.scale(scores, keys.count, call.key_norms ? call.key_norms + at.head * call.Lk + key : nullptr);
    own.exponentiate(scores, weights);
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, values, at.first_column + c * P::kTile, call.D, own.sums[c]);
    }
  }
#pragma unroll
  for (int i = 0; i < R; ++i) { own.total[i] = reduce_row(own.total[i], Plus{}); }
  T* y = head_rows(call.y, at.b, at.h) + tile.begin * call.y.token;
  for_results(own.sums, queries.count, at.first_column, call.D,
              [&](int i, int r, int d, A sum) { y[r * call.y.token + d] = static_cast<T>(sum / own.total[i]); });
  if (!call.lse_out || at.first_column != 0 || own_column() != 0) { return; }
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = own_row() + kGeneralSide * i;
    if (r >= queries.count) { continue; }
    call.lse_out[at.head * call.Lq + tile.begin + r] = own.largest[i] + math::log(own.total[i]);
  }
}

}  // namespace

template <class T>
void general_attention_forward(const AttentionCall<T>& call) {
  with_general_tiles<T>(call.D, [&](auto rows, auto chunks) {
    const int tiles = query_tiles(call.scales, kGeneralQueryTile<T>);
    launch("attention", forward_tile<rows(), chunks(), T>, general_grid(call, tiles, chunks()), call, tiles);
  });
}

template void general_attention_forward(const AttentionCall<float>&);
template void general_attention_forward(const AttentionCall<double>&);
template void general_attention_forward(const AttentionCall<BFloat16>&);

}  // namespace terrace::cuda
