// Gradients of attention for any type and any width. Two kernels, each the only writer of its results: dq by tiles of
// queries, dk and dv by tiles of keys.
#include "cuda/device/attention_general.h"
#include "cuda/kernels/attention.h"
#include "tensor/base/math.h"

namespace terrace::cuda {
namespace {

/// Probability and gradient of a score that is seen, from the products q k and dy v.
template <class A>
struct ScoreGradient {
  A score, probability, gradient;
  __device__ ScoreGradient(A product, A factor, A lse, A dot, A dproduct)
      : score(product * factor), probability(math::exp(score - lse)), gradient(probability * (dproduct - dot)) {}
};

/// What a thread has of its R rows of queries for their gradient.
template <int R, class A>
struct QueryRows {
  A factor[R];       // of the products q k, before the keys' norms
  A lse[R], dot[R];  // the log-sum-exp; rowsum(y dy)
  A along[R];        // this thread's share of the sum of dS S over the keys that are seen

  template <class T>
  __device__ QueryRows(const AttentionCall<T>& call, const GeneralBlock& at, int begin, int count) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      const int r = own_row() + kGeneralSide * i;
      const int64_t query = at.head * call.Lq + begin + r;
      const bool exists = r < count;
      factor[i] = call.factor(at.h);
      if (call.query_norms && exists) { factor[i] *= call.query_norms[query]; }
      lse[i] = exists ? call.lse[query] : A(0);
      dot[i] = exists ? call.dots[query] : A(0);
      along[i] = 0;
    }
  }

  /// weights = dS times the keys' norms, from the products q k and dy v of a tile of keys, of which `count` exist.
  __device__ void take_gradients(const A (&products)[R][R], const A (&dprobs)[R][R], int count, const A* key_norms,
                                 typename GeneralProducts<A, R>::Weights& weights) {
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const int c = own_column() + kGeneralSide * j;
      const bool seen = c < count;
      const A norm = key_norms && seen ? key_norms[c] : A(1);
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const ScoreGradient<A> s(products[i][j], factor[i] * norm, lse[i], dot[i], dprobs[i][j]);
        if (seen) { along[i] += s.gradient * s.score; }
        weights[own_row() + kGeneralSide * i][c] = seen ? s.gradient * norm : A(0);
      }
    }
  }
};

/// dq of a tile of queries.
template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kGeneralThreads)
    backward_queries(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = GeneralProducts<A, R>;
  TERRACE_SHARED(weights, typename P::Weights);
  const GeneralBlock at(call, tiles, Chunks * P::kTile);
  const QueryTile tile = query_tile(call.scales, P::kTile, at.tile);
  const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
  const TileRows<T> dy = tile_rows(call.dy, at.b, at.h, tile.begin, tile.end, P::kTile);
  QueryRows<R, A> own(call, at, tile.begin, queries.count);
  A sums[Chunks][R][R] = {};
  for (int key = 0; key < tile.key_end; key += P::kTile) {
    const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, tile.key_end, P::kTile);
    const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, tile.key_end, P::kTile);
    A products[R][R] = {}, dprobs[R][R] = {};
    P::add_scores(queries, keys, call.D, products);
    P::add_scores(dy, values, call.D, dprobs);
    const A* key_norms = call.key_norms ? call.key_norms + at.head * call.Lk + key : nullptr;
    own.take_gradients(products, dprobs, keys.count, key_norms, weights);
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, keys, at.first_column + c * P::kTile, call.D, sums[c]);
    }
  }
  // With u = q / |q| the gradient has no component along u: dq = (du - u (u . du)) / |q|. The sum of dS S is f u . du,
  // where f is what multiplies u . k.
  A share = 0, inverse_squares[R];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = own_row() + kGeneralSide * i;
    own.along[i] = reduce_row(own.along[i], Plus{});
    if (r < queries.count) { share += own.along[i]; }
    inverse_squares[i] = 0;
    if (!call.query_norms || r >= queries.count) { continue; }
    const A inverse = call.query_norms[at.head * call.Lq + tile.begin + r];
    if (!is_clamped(inverse)) { inverse_squares[i] = inverse * inverse; }
  }
  T* dq = head_rows(call.dq, at.b, at.h) + tile.begin * call.dq.token;
  for_results(sums, queries.count, at.first_column, call.D, [&](int i, int r, int d, A sum) {
    const A q = static_cast<A>(queries.data[r * queries.stride + d]);
    dq[r * call.dq.token + d] = static_cast<T>(own.factor[i] * sum - inverse_squares[i] * own.along[i] * q);
  });
  if (!call.dlog_parts || at.first_column != 0) { return; }
  share = block_sum<kGeneralThreads>(own_column() == 0 ? share : A(0));
  if (threadIdx.x == 0) { call.dlog_parts[at.head * tiles + at.tile] = share; }
}

/// What a thread has of its R rows of keys for the gradients of keys and values.
template <int R, class A>
struct KeyRows {
  A norm[R];   // 1 / |k|, or 1 where heads are plain
  A along[R];  // this thread's share of the sum of dS S over the queries that see the key

  /// weights = P and gradients = dS times the factor of q k, from the products k q and v dy of a tile of `count`
  /// queries, the first of which is `first_query`, counted through all heads. They see the block's first `visible`
  /// keys.
  template <class T>
  __device__ void take_gradients(const AttentionCall<T>& call, A head_factor, int64_t first_query, int count,
                                 int visible, const A (&products)[R][R], const A (&dprobs)[R][R],
                                 typename GeneralProducts<A, R>::Weights& weights, A (&gradients)[R][R]) {
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const int c = own_column() + kGeneralSide * j;
      const int64_t query = first_query + c;
      const bool exists = c < count;
      const A lse = exists ? call.lse[query] : A(0), dot = exists ? call.dots[query] : A(0);
      A factor = head_factor;
      if (call.query_norms && exists) { factor *= call.query_norms[query]; }
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const int r = own_row() + kGeneralSide * i;
        const bool seen = exists && r < visible;
        const ScoreGradient<A> s(products[i][j], factor * norm[i], lse, dot, dprobs[i][j]);
        if (seen) { along[i] += s.gradient * s.score; }
        weights[r][c] = seen ? s.probability : A(0);
        gradients[i][j] = seen ? s.gradient * factor : A(0);
      }
    }
  }
};

/// dk and dv of a tile of keys. The scores are transposed here: rows are keys, columns are queries.
template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kGeneralThreads)
    backward_keys(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = GeneralProducts<A, R>;
  TERRACE_SHARED(weights, typename P::Weights);
  const GeneralBlock at(call, tiles, Chunks * P::kTile);
  const int key = at.tile * P::kTile;
  const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, call.Lk, P::kTile);
  const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, call.Lk, P::kTile);
  KeyRows<R, A> own = {};
  A dkeys[Chunks][R][R] = {}, dvalues[Chunks][R][R] = {};
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = own_row() + kGeneralSide * i;
    own.norm[i] = call.key_norms && r < keys.count ? call.key_norms[at.head * call.Lk + key + r] : A(1);
  }
  const int all = query_tiles(call.scales, P::kTile);
  for (int t = 0; t < all; ++t) {
    const QueryTile tile = query_tile(call.scales, P::kTile, t);
    if (tile.key_end <= key) { continue; }  // its queries see none of these keys
    const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
    const TileRows<T> dy = tile_rows(call.dy, at.b, at.h, tile.begin, tile.end, P::kTile);
    A products[R][R] = {}, dprobs[R][R] = {}, gradients[R][R];
    P::add_scores(keys, queries, call.D, products);
    P::add_scores(values, dy, call.D, dprobs);
    own.take_gradients(call, call.factor(at.h), at.head * call.Lq + tile.begin, queries.count, tile.key_end - key,
                       products, dprobs, weights, gradients);
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, dy, at.first_column + c * P::kTile, call.D, dvalues[c]);
    }
    __syncthreads();  // every thread has read the probabilities
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        weights[own_row() + kGeneralSide * i][own_column() + kGeneralSide * j] = gradients[i][j];
      }
    }
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, queries, at.first_column + c * P::kTile, call.D, dkeys[c]);
    }
  }
  T* dk = head_rows(call.dk, at.b, at.h) + key * call.dk.token;
  T* dv = head_rows(call.dv, at.b, at.h) + key * call.dv.token;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    own.along[i] = reduce_row(own.along[i], Plus{});
    if (!call.key_norms || is_clamped(own.norm[i])) { own.along[i] = 0; }
  }
  for_results(dkeys, keys.count, at.first_column, call.D, [&](int i, int r, int d, A sum) {
    const A k = static_cast<A>(keys.data[r * keys.stride + d]);
    dk[r * call.dk.token + d] = static_cast<T>(own.norm[i] * sum - own.norm[i] * own.norm[i] * own.along[i] * k);
  });
  for_results(dvalues, keys.count, at.first_column, call.D,
              [&](int, int r, int d, A sum) { dv[r * call.dv.token + d] = static_cast<T>(sum); });
}

}  // namespace

template <class T>
void general_attention_backward(const AttentionCall<T>& call) {
  with_general_tiles<T>(call.D, [&](auto rows, auto chunks) {
    const int tiles = query_tiles(call.scales, kGeneralQueryTile<T>);
    launch("attention backward: queries", backward_queries<rows(), chunks(), T>, general_grid(call, tiles, chunks()),
           call, tiles);
    const int key_tiles = static_cast<int>(blocks_for(call.Lk, kGeneralQueryTile<T>));
    launch("attention backward: keys", backward_keys<rows(), chunks(), T>, general_grid(call, key_tiles, chunks()),
           call, key_tiles);
  });
}

template void general_attention_backward(const AttentionCall<float>&);
template void general_attention_backward(const AttentionCall<double>&);
template void general_attention_backward(const AttentionCall<BFloat16>&);

}  // namespace terrace::cuda
