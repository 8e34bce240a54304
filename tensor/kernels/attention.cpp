// Each thread computes one (sample, head) at a time. Its keys and values are packed once into panels; then tiles of
// queries go through small matrix products whose operands stay in the caches, over the visible prefix of the keys only.
#include "tensor/kernels/attention.h"

#include <omp.h>

#include "tensor/base/math.h"
#include "tensor/kernels/attention_bf16.h"
#include "tensor/kernels/attention_rows.h"
#include "tensor/kernels/gemm/panel_product.h"

namespace terrace {
namespace {

template <class T>
struct Forward {
  using A = Accumulator<T>;
  const AttentionProblem& p;
  AttentionRows<const T> q, k, v;
  const A* head_factor;
  AttentionRows<T> y;
  A* lse;

  void run(int64_t b, int64_t h, A* workspace) const {
    const int64_t width = attention_padded(p.D), keys = attention_padded(p.Lk), tile = attention_tile_rows(p.Lk);
    const int64_t stride = score_stride<A>(p.Lk);
    const Normalize normalize = head_factor != nullptr ? Normalize::kYes : Normalize::kNo;
    const A factor = static_cast<A>(p.scale) * (head_factor != nullptr ? head_factor[h] : A(1));
    Workspace<A> space(workspace);
    A* rows = space.take(keys * width);
    A* key_columns = space.take(keys * width);
    A* values = space.take(keys * width);
    A* queries = space.take(tile * width);
    A* result = space.take(tile * width);
    A* scores = space.take(tile * stride);

    load_rows<T, A>(k, b, h, 0, p.Lk, p.D, width, A(1), normalize, rows, nullptr);
    pack_columns(rows, width, p.Lk, p.D, key_columns);
    load_rows<T, A>(v, b, h, 0, p.Lk, p.D, width, A(1), Normalize::kNo, rows, nullptr);
    pack_rows(rows, width, p.Lk, p.D, values);
    for (int64_t s = 0; s < p.block_count; ++s) {
      const AttentionBlock& block = p.blocks[s];
      for (int64_t begin = block.query_begin; begin < block.query_end; begin += tile) {
        const int64_t n = block.query_end - begin < tile ? block.query_end - begin : tile;
        load_rows<T, A>(q, b, h, begin, n, p.D, width, factor, normalize, queries, nullptr);
        panel_product<A>({n, block.key_end, p.D}, {queries, width, 1}, {key_columns, p.D}, scores, stride,
                         Write::kOverwrite);
        finish_tile(b, h, begin, n, block.key_end, scores, stride, values, result, width);
      }
    }
  }

  void finish_tile(int64_t b, int64_t h, int64_t begin, int64_t n, int64_t key_end, A* scores, int64_t stride,
                   const A* values, A* result, int64_t width) const {
    A sums[kAttentionTile];
    for (int64_t i = 0; i < n; ++i) {
      A top;
      sums[i] = exponentials(scores + i * stride, key_end, &top);
      if (lse != nullptr) { lse[(b * p.H + h) * p.Lq + begin + i] = top + math::log(sums[i]); }
    }
    panel_product<A>({n, p.D, key_end}, {scores, stride, 1}, {values, p.Lk}, result, width, Write::kOverwrite);
    for (int64_t i = 0; i < n; ++i) { store_row(result + i * width, A(1) / sums[i], p.D, row_of(y, b, h, begin + i)); }
  }
};

template <class T>
struct Backward {
  using A = Accumulator<T>;
  const AttentionProblem& p;
  AttentionRows<const T> q, k, v;
  const A* head_factor;
  const A* lse;
  AttentionRows<const T> dy;
  AttentionRows<T> dq, dk, dv;
  A* dlog_factor;

  struct Buffers {
    A *keys, *key_columns, *key_rows, *value_columns, *dkeys, *dvalues, *inverse_norms;          // of one head
    A *queries, *query_rows, *dresult, *dresult_rows, *dqueries, *query_norms, *probs, *dprobs;  // of one tile
    int64_t width, stride;
  };

  Buffers lay_out(A* workspace) const {
    Buffers s{};
    s.width = attention_padded(p.D);
    s.stride = score_stride<A>(p.Lk);
    const int64_t keys = attention_padded(p.Lk), tile = attention_tile_rows(p.Lk);
    Workspace<A> space(workspace);
    for (A** block : {&s.keys, &s.key_columns, &s.key_rows, &s.value_columns, &s.dkeys, &s.dvalues}) {
      *block = space.take(keys * s.width);
    }
    s.inverse_norms = space.take(keys);
    for (A** block : {&s.queries, &s.query_rows, &s.dresult, &s.dresult_rows, &s.dqueries}) {
      *block = space.take(tile * s.width);
    }
    s.query_norms = space.take(attention_padded(tile));
    s.probs = space.take(tile * s.stride);
    s.dprobs = space.take(tile * s.stride);
    return s;
  }

  void run(int64_t b, int64_t h, A* workspace) const {
    const Buffers s = lay_out(workspace);
    const bool normalized = head_factor != nullptr;
    const Normalize normalize = normalized ? Normalize::kYes : Normalize::kNo;
    const int64_t tile = attention_tile_rows(p.Lk);

    load_rows<T, A>(v, b, h, 0, p.Lk, p.D, s.width, A(1), Normalize::kNo, s.keys, nullptr);
    pack_columns(s.keys, s.width, p.Lk, p.D, s.value_columns);
    load_rows<T, A>(k, b, h, 0, p.Lk, p.D, s.width, A(1), normalize, s.keys, s.inverse_norms);
    pack_columns(s.keys, s.width, p.Lk, p.D, s.key_columns);
    pack_rows(s.keys, s.width, p.Lk, p.D, s.key_rows);
    for (int64_t i = 0; i < p.Lk * s.width; ++i) { s.dkeys[i] = s.dvalues[i] = 0; }

    A dlog = 0;
    for (int64_t at = 0; at < p.block_count; ++at) {
      const AttentionBlock& block = p.blocks[at];
      for (int64_t begin = block.query_begin; begin < block.query_end; begin += tile) {
        const int64_t n = block.query_end - begin < tile ? block.query_end - begin : tile;
        dlog += run_tile(s, b, h, begin, n, block.key_end);
      }
    }
    if (normalized) { dlog_factor[b * p.H + h] = dlog; }
    for (int64_t j = 0; j < p.Lk; ++j) {
      const A* dkey = s.dkeys + j * s.width;
      T* out = row_of(dk, b, h, j);
      if (normalized) {
        store_normalize_gradient(s.keys + j * s.width, A(1), dkey, A(1), s.inverse_norms[j], p.D, out);
      } else {
        store_row(dkey, A(1), p.D, out);
      }
      store_row(s.dvalues + j * s.width, A(1), p.D, row_of(dv, b, h, j));
    }
  }

  /// One tile of queries: dq is written, dk and dv accumulate. Returns the tile's share of d loss / d ln(head_factor).
  A run_tile(const Buffers& s, int64_t b, int64_t h, int64_t begin, int64_t n, int64_t key_end) const {
    const bool normalized = head_factor != nullptr;
    const A factor = static_cast<A>(p.scale) * (normalized ? head_factor[h] : A(1));
    load_rows<T, A>(q, b, h, begin, n, p.D, s.width, factor, normalized ? Normalize::kYes : Normalize::kNo, s.queries,
                    s.query_norms);
    load_rows<T, A>(dy, b, h, begin, n, p.D, s.width, A(1), Normalize::kNo, s.dresult, nullptr);
    pack_rows(s.queries, s.width, n, p.D, s.query_rows);
    pack_rows(s.dresult, s.width, n, p.D, s.dresult_rows);
    panel_product<A>({n, key_end, p.D}, {s.queries, s.width, 1}, {s.key_columns, p.D}, s.probs, s.stride,
                     Write::kOverwrite);
    panel_product<A>({n, key_end, p.D}, {s.dresult, s.width, 1}, {s.value_columns, p.D}, s.dprobs, s.stride,
                     Write::kOverwrite);
    for (int64_t i = 0; i < n; ++i) {
      score_gradient(s.probs + i * s.stride, s.dprobs + i * s.stride, lse[(b * p.H + h) * p.Lq + begin + i], key_end);
    }
    panel_product<A>({n, p.D, key_end}, {s.dprobs, s.stride, 1}, {s.key_rows, p.Lk}, s.dqueries, s.width,
                     Write::kOverwrite);
    panel_product<A>({key_end, p.D, n}, {s.dprobs, 1, s.stride}, {s.query_rows, n}, s.dkeys, s.width,
                     Write::kAccumulate);
    panel_product<A>({key_end, p.D, n}, {s.probs, 1, s.stride}, {s.dresult_rows, n}, s.dvalues, s.width,
                     Write::kAccumulate);
    A dlog = 0;
    for (int64_t i = 0; i < n; ++i) {
      const A *query = s.queries + i * s.width, *dquery = s.dqueries + i * s.width;
      T* out = row_of(dq, b, h, begin + i);
      if (normalized) {
        dlog += dot(query, dquery, p.D);
        store_normalize_gradient(query, A(1) / factor, dquery, factor, s.query_norms[i], p.D, out);
      } else {
        store_row(dquery, factor, p.D, out);
      }
    }
    return dlog;
  }

  /// Replaces scores by probabilities, and dprobs by the gradient of the scores.
  static void score_gradient(A* __restrict probs, A* __restrict dprobs, A row_lse, int64_t n) {
    A mean = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t j = 0; j < n; ++j) {
      probs[j] = math::exp(probs[j] - row_lse);
      mean += probs[j] * dprobs[j];
    }
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) { dprobs[j] = probs[j] * (dprobs[j] - mean); }
  }
};

/// Calls body.run(b, h, workspace of the thread) for every head of every sample; no two calls write the same memory.
template <class A, class Body>
void for_each_head(const AttentionProblem& p, A* workspace, int64_t per_thread, const Body& body) {
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(p.threads)) if (p.threads > 1)
  for (int64_t item = 0; item < p.B * p.H; ++item) {
    body.run(item / p.H, item % p.H, workspace + omp_get_thread_num() * per_thread);
  }
}

template <class T>
void forward(const AttentionProblem& p, AttentionRows<const T> q, AttentionRows<const T> k, AttentionRows<const T> v,
             const Accumulator<T>* head_factor, AttentionRows<T> y, Accumulator<T>* lse, Accumulator<T>* workspace) {
#ifdef __AVX512F__
  if constexpr (std::is_same_v<T, BFloat16>) {
    if (Bf16Forward::serves(p, q, k, head_factor)) {
      return for_each_head(p, workspace, attention_forward_workspace(p), Bf16Forward{p, q, k, v, y, lse});
    }
  }
#endif
  for_each_head(p, workspace, attention_forward_workspace(p), Forward<T>{p, q, k, v, head_factor, y, lse});
}

template <class T>
void backward(const AttentionProblem& p, AttentionRows<const T> q, AttentionRows<const T> k, AttentionRows<const T> v,
              const Accumulator<T>* head_factor, AttentionRows<const T> /*y*/, const Accumulator<T>* lse,
              AttentionRows<const T> dy, AttentionRows<T> dq, AttentionRows<T> dk, AttentionRows<T> dv,
              Accumulator<T>* dlog_factor, Accumulator<T>* workspace) {
  for_each_head(p, workspace, attention_backward_workspace(p),
                Backward<T>{p, q, k, v, head_factor, lse, dy, dq, dk, dv, dlog_factor});
}

TERRACE_REGISTER_FLOATS(attention_forward, forward);
TERRACE_REGISTER_FLOATS(attention_backward, backward);

}  // namespace
}  // namespace terrace
