// Attention for any type and any width: products by 16 x 16 threads, each with R x R sums in registers, operands staged
// through shared memory. Results wider than a block's registers are split among blocks, which then share no scores.
#include "cuda/device/collectives.h"
#include "cuda/kernels/attention.h"
#include "tensor/base/math.h"

namespace terrace::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;
constexpr int kDepth = 16;  // how much of a product's inner dimension is staged at once

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

/// This thread's R x R elements of a tile: rows row() + 16 i, columns column() + 16 j. The 16 threads of a row are half
/// a warp.
__device__ int row() { return static_cast<int>(threadIdx.x) / kSide; }
__device__ int column() { return static_cast<int>(threadIdx.x) % kSide; }

template <class A, class Combine>
__device__ A reduce_row(A value, Combine combine) {
  return lanes_reduce<kSide>(value, combine);
}

template <class A, int R>
struct Products {
  static constexpr int kTile = kSide * R;
  using Stage = A[kDepth][kTile + 1];
  using Weights = A[kTile][kTile + 1];

  /// sums += left right^T over D channels.
  template <class T>
  __device__ static void add_scores(const TileRows<T>& left, const TileRows<T>& right, int D, A (&sums)[R][R]) {
    TERRACE_SHARED(stage_left, Stage);
    TERRACE_SHARED(stage_right, Stage);
    for (int first = 0; first < D; first += kDepth) {
      __syncthreads();
      const int d = first + column();
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const int r = row() + kSide * i;
        stage_left[column()][r] = d < D && r < left.count ? static_cast<A>(left.data[r * left.stride + d]) : A(0);
        stage_right[column()][r] = d < D && r < right.count ? static_cast<A>(right.data[r * right.stride + d]) : A(0);
      }
      __syncthreads();
      multiply(
          D - first < kDepth ? D - first : kDepth, [&](int k, int r) { return stage_left[k][r]; }, stage_right, sums);
    }
  }

  /// sums += weights right, the columns from `first_column` on. Weights of rows that `right` does not have are not
  /// read.
  template <class T>
  __device__ static void add_weighted(const Weights& weights, const TileRows<T>& right, int first_column, int D,
                                      A (&sums)[R][R]) {
    TERRACE_SHARED(stage, Stage);
    for (int first = 0; first < right.count; first += kDepth) {
      __syncthreads();
      for (int e = static_cast<int>(threadIdx.x); e < kDepth * kTile; e += kThreads) {
        const int k = first + e / kTile, c = first_column + e % kTile;
        stage[e / kTile][e % kTile] =
            k < right.count && c < D ? static_cast<A>(right.data[k * right.stride + c]) : A(0);
      }
      __syncthreads();
      multiply(
          right.count - first < kDepth ? right.count - first : kDepth,
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
        x[i] = left(k, row() + kSide * i);
        y[i] = right[k][column() + kSide * i];
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
struct Place {
  int tile, h, first_column;
  int64_t b, head;  // head = b H + h

  template <class T>
  __device__ Place(const AttentionCall<T>& call, int tiles, int columns) {
    const int groups = (call.D + columns - 1) / columns;
    const int64_t item = blockIdx.x / static_cast<unsigned>(tiles);
    tile = tiles - 1 - static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles));  // the longest first
    first_column = static_cast<int>(item % groups) * columns;
    head = item / groups;
    h = static_cast<int>(head % call.H);
    b = head / call.H;
  }
};

/// Calls f(row, column, sum) for this thread's elements of the results that are within `rows` and D.
template <int R, int Chunks, class A, class F>
__device__ void for_results(const A (&sums)[Chunks][R][R], int rows, int first_column, int D, F&& f) {
#pragma unroll
  for (int c = 0; c < Chunks; ++c) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const int r = row() + kSide * i, d = first_column + (c * R + j) * kSide + column();
        if (r < rows && d < D) { f(i, r, d, sums[c][i][j]); }
      }
    }
  }
}

template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kThreads) forward_tile(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = Products<A, R>;
  constexpr A kLowest = -std::numeric_limits<A>::infinity();
  TERRACE_SHARED(weights, typename P::Weights);
  const Place at(call, tiles, Chunks * P::kTile);
  const QueryTile tile = query_tile(call.scales, P::kTile, at.tile);
  const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
  A factor[R], top[R], total[R], sums[Chunks][R][R] = {};
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = row() + kSide * i;
    factor[i] = call.factor(at.h);
    if (call.query_norms && r < queries.count) { factor[i] *= call.query_norms[at.head * call.Lq + tile.begin + r]; }
    top[i] = kLowest;
    total[i] = 0;
  }
  for (int key = 0; key < tile.key_end; key += P::kTile) {
    const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, tile.key_end, P::kTile);
    A scores[R][R] = {};
    P::add_scores(queries, keys, call.D, scores);
#pragma unroll
    for (int i = 0; i < R; ++i) {
      A largest = top[i];
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const int c = column() + kSide * j;
        scores[i][j] *= factor[i];
        if (call.key_norms && c < keys.count) { scores[i][j] *= call.key_norms[at.head * call.Lk + key + c]; }
        if (c >= keys.count) { scores[i][j] = kLowest; }
        largest = scores[i][j] > largest ? scores[i][j] : largest;  // a NaN goes through the sum
      }
      largest = reduce_row(largest, [](A a, A b) { return a > b ? a : b; });
      const A base = largest == kLowest ? A(0) : largest, shrink = math::exp(top[i] - base);
      top[i] = largest;
      total[i] *= shrink;
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const A p = math::exp(scores[i][j] - base);
        total[i] += p;
        weights[row() + kSide * i][column() + kSide * j] = p;
#pragma unroll
        for (int c = 0; c < Chunks; ++c) { sums[c][i][j] *= shrink; }
      }
    }
    const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, tile.key_end, P::kTile);
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, values, at.first_column + c * P::kTile, call.D, sums[c]);
    }
  }
#pragma unroll
  for (int i = 0; i < R; ++i) { total[i] = reduce_row(total[i], Plus{}); }
  T* y = head_rows(call.y, at.b, at.h) + tile.begin * call.y.token;
  for_results(sums, queries.count, at.first_column, call.D,
              [&](int i, int r, int d, A sum) { y[r * call.y.token + d] = static_cast<T>(sum / total[i]); });
  if (!call.lse_out || at.first_column != 0 || column() != 0) { return; }
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = row() + kSide * i;
    if (r < queries.count) { call.lse_out[at.head * call.Lq + tile.begin + r] = top[i] + math::log(total[i]); }
  }
}

/// Probability and gradient of a score that is seen, from the products q.k and dy.v.
template <class A>
struct ScoreGradient {
  A score, probability, gradient;
  __device__ ScoreGradient(A product, A factor, A lse, A dot, A dproduct)
      : score(product * factor), probability(math::exp(score - lse)), gradient(probability * (dproduct - dot)) {}
};

/// dq of a tile of queries.
template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kThreads) backward_queries(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = Products<A, R>;
  TERRACE_SHARED(weights, typename P::Weights);
  const Place at(call, tiles, Chunks * P::kTile);
  const QueryTile tile = query_tile(call.scales, P::kTile, at.tile);
  const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
  const TileRows<T> dy = tile_rows(call.dy, at.b, at.h, tile.begin, tile.end, P::kTile);
  A factor[R], lse[R], dot[R], along[R], sums[Chunks][R][R] = {};
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = row() + kSide * i;
    const int64_t query = at.head * call.Lq + tile.begin + r;
    const bool exists = r < queries.count;
    factor[i] = call.factor(at.h);
    if (call.query_norms && exists) { factor[i] *= call.query_norms[query]; }
    lse[i] = exists ? call.lse[query] : A(0);
    dot[i] = exists ? call.dots[query] : A(0);
    along[i] = 0;
  }
  for (int key = 0; key < tile.key_end; key += P::kTile) {
    const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, tile.key_end, P::kTile);
    const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, tile.key_end, P::kTile);
    A scores[R][R] = {}, dprobs[R][R] = {};
    P::add_scores(queries, keys, call.D, scores);
    P::add_scores(dy, values, call.D, dprobs);
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const int c = column() + kSide * j;
      const bool seen = c < keys.count;
      const A norm = call.key_norms && seen ? call.key_norms[at.head * call.Lk + key + c] : A(1);
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const ScoreGradient<A> s(scores[i][j], factor[i] * norm, lse[i], dot[i], dprobs[i][j]);
        if (seen) { along[i] += s.gradient * s.score; }
        weights[row() + kSide * i][c] = seen ? s.gradient * norm : A(0);
      }
    }
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, keys, at.first_column + c * P::kTile, call.D, sums[c]);
    }
  }
  // With u = q / |q| the gradient along u is gone: dq = (du - u (u . du)) / |q|, and f u . du = sum of dS S.
  A share = 0, inverse_squares[R];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = row() + kSide * i;
    along[i] = reduce_row(along[i], Plus{});
    if (r < queries.count) { share += along[i]; }
    inverse_squares[i] = 0;
    if (!call.query_norms || r >= queries.count) { continue; }
    const A inverse = call.query_norms[at.head * call.Lq + tile.begin + r];
    if (!is_clamped(inverse)) { inverse_squares[i] = inverse * inverse; }
  }
  T* dq = head_rows(call.dq, at.b, at.h) + tile.begin * call.dq.token;
  for_results(sums, queries.count, at.first_column, call.D, [&](int i, int r, int d, A sum) {
    const A q = static_cast<A>(queries.data[r * queries.stride + d]);
    dq[r * call.dq.token + d] = static_cast<T>(factor[i] * sum - inverse_squares[i] * along[i] * q);
  });
  if (!call.dlog_parts || at.first_column != 0) { return; }
  share = block_sum<kThreads>(column() == 0 ? share : A(0));
  if (threadIdx.x == 0) { call.dlog_parts[at.head * tiles + at.tile] = share; }
}

/// dk and dv of a tile of keys: scores are transposed, rows are keys.
template <int R, int Chunks, class T>
__global__ void __launch_bounds__(kThreads) backward_keys(const __grid_constant__ AttentionCall<T> call, int tiles) {
  using A = Accumulator<T>;
  using P = Products<A, R>;
  TERRACE_SHARED(weights, typename P::Weights);
  const Place at(call, tiles, Chunks * P::kTile);
  const int key = at.tile * P::kTile;
  const TileRows<T> keys = tile_rows(call.k, at.b, at.h, key, call.Lk, P::kTile);
  const TileRows<T> values = tile_rows(call.v, at.b, at.h, key, call.Lk, P::kTile);
  A norm[R], along[R] = {}, dkeys[Chunks][R][R] = {}, dvalues[Chunks][R][R] = {};
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int r = row() + kSide * i;
    norm[i] = call.key_norms && r < keys.count ? call.key_norms[at.head * call.Lk + key + r] : A(1);
  }
  const int all = query_tiles(call.scales, P::kTile);
  for (int t = 0; t < all; ++t) {
    const QueryTile tile = query_tile(call.scales, P::kTile, t);
    if (tile.key_end <= key) {
      continue;  // sees none of these keys
    }
    const TileRows<T> queries = tile_rows(call.q, at.b, at.h, tile.begin, tile.end, P::kTile);
    const TileRows<T> dy = tile_rows(call.dy, at.b, at.h, tile.begin, tile.end, P::kTile);
    A scores[R][R] = {}, dprobs[R][R] = {}, gradients[R][R];
    P::add_scores(keys, queries, call.D, scores);
    P::add_scores(values, dy, call.D, dprobs);
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const int c = column() + kSide * j;
      const int64_t query = at.head * call.Lq + tile.begin + c;
      const bool exists = c < queries.count;
      const A lse = exists ? call.lse[query] : A(0), dot = exists ? call.dots[query] : A(0);
      A factor = call.factor(at.h);
      if (call.query_norms && exists) { factor *= call.query_norms[query]; }
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const int r = row() + kSide * i;
        const bool seen = exists && key + r < tile.key_end;
        const ScoreGradient<A> s(scores[i][j], factor * norm[i], lse, dot, dprobs[i][j]);
        if (seen) { along[i] += s.gradient * s.score; }
        weights[r][c] = seen ? s.probability : A(0);
        gradients[i][j] = seen ? s.gradient * factor : A(0);
      }
    }
#pragma unroll
    for (int c = 0; c < Chunks; ++c) {
      P::add_weighted(weights, dy, at.first_column + c * P::kTile, call.D, dvalues[c]);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) { weights[row() + kSide * i][column() + kSide * j] = gradients[i][j]; }
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
    along[i] = reduce_row(along[i], Plus{});
    if (!call.key_norms || is_clamped(norm[i])) { along[i] = 0; }
  }
  for_results(dkeys, keys.count, at.first_column, call.D, [&](int i, int r, int d, A sum) {
    const A k = static_cast<A>(keys.data[r * keys.stride + d]);
    dk[r * call.dk.token + d] = static_cast<T>(norm[i] * sum - norm[i] * norm[i] * along[i] * k);
  });
  for_results(dvalues, keys.count, at.first_column, call.D,
              [&](int, int r, int d, A sum) { dv[r * call.dv.token + d] = static_cast<T>(sum); });
}

/// Calls f(rows and columns of a thread, tiles of columns of a block) for results of D columns.
template <class T, class F>
void with_chunks(int D, F&& f) {
  constexpr int kTile = kGeneralQueryTile<T>;
  constexpr std::integral_constant<int, kTile / kSide> kRows;
  if (D <= kTile) { return f(kRows, std::integral_constant<int, 1>{}); }
  if (D <= 2 * kTile) { return f(kRows, std::integral_constant<int, 2>{}); }
  f(kRows, std::integral_constant<int, 4>{});
}

template <class T>
Grid grid_of(const AttentionCall<T>& call, int tiles, int chunks) {
  return Grid(int64_t{call.B} * call.H * tiles * blocks_for(call.D, chunks * kGeneralQueryTile<T>), kThreads);
}

}  // namespace

template <class T>
void general_attention_forward(const AttentionCall<T>& call) {
  with_chunks<T>(call.D, [&](auto rows, auto chunks) {
    const int tiles = query_tiles(call.scales, kGeneralQueryTile<T>);
    launch("attention", forward_tile<rows(), chunks(), T>, grid_of(call, tiles, chunks()), call, tiles);
  });
}

template <class T>
void general_attention_backward(const AttentionCall<T>& call) {
  with_chunks<T>(call.D, [&](auto rows, auto chunks) {
    const int tiles = query_tiles(call.scales, kGeneralQueryTile<T>);
    launch("attention backward: queries", backward_queries<rows(), chunks(), T>, grid_of(call, tiles, chunks()), call,
           tiles);
    const int key_tiles = static_cast<int>(blocks_for(call.Lk, kGeneralQueryTile<T>));
    launch("attention backward: keys", backward_keys<rows(), chunks(), T>, grid_of(call, key_tiles, chunks()), call,
           key_tiles);
  });
}

template void general_attention_forward(const AttentionCall<float>&);
template void general_attention_forward(const AttentionCall<double>&);
template void general_attention_forward(const AttentionCall<BFloat16>&);
template void general_attention_backward(const AttentionCall<float>&);
template void general_attention_backward(const AttentionCall<double>&);
template void general_attention_backward(const AttentionCall<BFloat16>&);

}  // namespace terrace::cuda
