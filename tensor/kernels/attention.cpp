// One (sample, head) after the other per thread. Its keys and values are packed once into panels; then tiles of queries
// go through small matrix products whose operands stay in the caches, over the visible prefix of the keys only.
#include "tensor/kernels/attention.h"

#include <omp.h>

#include "tensor/base/math.h"
#include "tensor/device/device.h"
#include "tensor/kernels/gemm/lane_product.h"
#include "tensor/kernels/gemm/panel_product.h"

namespace terrace {
namespace {

/// Hands out the stretches of a thread's workspace.
template <class A>
class Workspace {
 public:
  explicit Workspace(A* begin) : next_(begin) {}
  A* take(int64_t count) {
    A* block = next_;
    next_ += count;
    return block;
  }

 private:
  A* next_;
};

/// A row of the score tile. Off powers of two, whose rows would all fall into the same few cache sets.
template <class A>
int64_t score_stride(int64_t Lk) {
  const int64_t keys = attention_padded(Lk);
  return keys * static_cast<int64_t>(sizeof(A)) % 1024 == 0 ? keys + kAttentionPad : keys;
}

template <class T>
const T* row_of(const AttentionRows<const T>& rows, int64_t b, int64_t h, int64_t token) {
  return rows.data + b * rows.batch + token * rows.token + h * rows.head;
}
template <class T>
T* row_of(const AttentionRows<T>& rows, int64_t b, int64_t h, int64_t token) {
  return rows.data + b * rows.batch + token * rows.token + h * rows.head;
}

template <class A>
A dot(const A* a, const A* b, int64_t n) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) { sum += a[i] * b[i]; }
  return sum;
}

enum class Normalize : bool { kNo = false, kYes = true };

/// rows (n, width) = factor * source, zero beyond D. Normalised rows are divided by max(norm, eps) first, and
/// inverse_norm, unless null, receives 1/norm, negated where the norm is below eps (the divisor is then a constant).
template <class T, class A>
void load_rows(const AttentionRows<const T>& source, int64_t b, int64_t h, int64_t begin, int64_t n, int64_t D,
               int64_t width, A factor, Normalize normalize, A* rows, A* inverse_norm) {
  for (int64_t i = 0; i < n; ++i, rows += width) {
    const T* x = row_of(source, b, h, begin + i);
    A f = factor;
    if (normalize == Normalize::kYes) {
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < D; ++d) { sum += static_cast<A>(x[d]) * static_cast<A>(x[d]); }
      const A eps = static_cast<A>(kAttentionNormEps), norm = math::sqrt(sum);
      const A inverse = A(1) / (norm < eps ? eps : norm);
      f *= inverse;
      if (inverse_norm != nullptr) { inverse_norm[i] = norm < eps ? -inverse : inverse; }
    }
#pragma omp simd
    for (int64_t d = 0; d < D; ++d) { rows[d] = f * static_cast<A>(x[d]); }
    for (int64_t d = D; d < width; ++d) { rows[d] = 0; }
  }
}

template <class T, class A>
void store_row(const A* row, A factor, int64_t D, T* out) {
#pragma omp simd
  for (int64_t d = 0; d < D; ++d) { out[d] = static_cast<T>(factor * row[d]); }
}

/// Gradient of y = x / max(|x|, eps) into out, from y = factor_y * `row` and dy = factor_dy * `drow`:
/// dx = (dy - y (y . dy)) / |x|, or dy / eps where the norm was clamped (inverse_norm negative).
template <class T, class A>
void store_normalize_gradient(const A* row, A factor_y, const A* drow, A factor_dy, A inverse_norm, int64_t D, T* out) {
  const bool clamped = inverse_norm < 0;
  const A along = clamped ? A(0) : dot(row, drow, D) * factor_y * factor_y * factor_dy;
  const A scale = (clamped ? -inverse_norm : inverse_norm);
#pragma omp simd
  for (int64_t d = 0; d < D; ++d) { out[d] = static_cast<T>(scale * (factor_dy * drow[d] - along * row[d])); }
}

/// exp(scores - max) in place; returns the sum and sets max.
template <class A>
A exponentials(A* scores, int64_t n, A* max_out) {
  A top = scores[0];
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < n; ++j) { top = scores[j] > top ? scores[j] : top; }
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    scores[j] = math::exp(scores[j] - top);
    sum += scores[j];
  }
  *max_out = top;
  return sum;
}

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

#ifdef __AVX512F__
/// The forward pass in products of bf16 pairs, of queries that see every key: probabilities are rounded to bf16, scores
/// and sums are f32. Along D and along the keys two elements make a pair.
struct PairedForward {
  const AttentionProblem& p;
  AttentionRows<const BFloat16> q, k, v;
  AttentionRows<BFloat16> y;
  float* lse;

  using Pairs = uint32_t;

  static bool serves(const AttentionProblem& p, AttentionRows<const BFloat16> q, AttentionRows<const BFloat16> k,
                     const float* head_factor) {
    const auto even = [](const AttentionRows<const BFloat16>& rows) {
      return (rows.batch | rows.token | rows.head) % 2 == 0 && reinterpret_cast<uintptr_t>(rows.data) % 4 == 0;
    };
    return has_bf16_products() && head_factor == nullptr && p.D % 2 == 0 && p.block_count == 1 &&
           p.blocks[0].key_end == p.Lk && even(q) && even(k);
  }

  void run(int64_t b, int64_t h, float* workspace) const {
    const int64_t tile = attention_tile_rows(p.Lk), stride = score_stride<float>(p.Lk);
    const int64_t width = attention_padded(p.D), keys = attention_padded(p.Lk);
    Workspace<float> space(workspace);
    auto* const key_panels = reinterpret_cast<Pairs*>(space.take(keys * width / 2));
    auto* const value_panels = reinterpret_cast<Pairs*>(space.take(keys * width / 2));
    float* const scores = space.take(tile * stride);
    float* const result = space.take(tile * width);
    pack_keys(b, h, key_panels);
    pack_values(b, h, value_panels);
    for (int64_t begin = 0; begin < p.Lq; begin += tile) {
      const int64_t n = std::min(tile, p.Lq - begin);
      multiply(n, p.D, p.Lk, row_of(q, b, h, begin), q.token, key_panels, scores, stride);
      float sums[kAttentionTile];
      for (int64_t i = 0; i < n; ++i) {
        sums[i] = probabilities(scores + i * stride, (b * p.H + h) * p.Lq + begin + i);
      }
      multiply(n, p.Lk + p.Lk % 2, p.D, reinterpret_cast<const BFloat16*>(scores), 2 * stride, value_panels, result,
               width);
      for (int64_t i = 0; i < n; ++i) { store_row(result + i * width, 1 / sums[i], p.D, row_of(y, b, h, begin + i)); }
    }
  }

 private:
  static int64_t whole_vectors(int64_t columns) { return (columns + kLanes<float> - 1) / kLanes<float>; }

  /// c (rows, columns) = a b: a's rows are `stride` apart, b lies in panels.
  static void multiply(int64_t rows, int64_t depth, int64_t columns, const BFloat16* a, int64_t stride, const Pairs* b,
                       float* c, int64_t c_row) {
    constexpr float kNothing[kRows] = {};
    const Parts vectors(whole_vectors(columns), kMostVectors, 1);
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>;
      for (int64_t i = 0; i < rows; i += kRows) {
        multiply_of<ByPair>(std::min<int64_t>(kRows, rows - i), vectors.size(panel))(
            depth, a + i * stride, stride, b + lane * (depth / 2), {c + i * c_row + lane, c_row, kNothing});
      }
    }
  }

  void pack_keys(int64_t b, int64_t h, Pairs* panels) const {
    const Parts vectors(whole_vectors(p.Lk), kMostVectors, 1);
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>, count = vectors.size(panel) * kLanes<float>;
      pack_lanes(reinterpret_cast<const float*>(row_of(k, b, h, lane)), k.token / 2, std::min(count, p.Lk - lane),
                 p.D / 2, count, reinterpret_cast<float*>(panels + lane * (p.D / 2)));  // pairs are moved, not computed
    }
  }

  /// Beside the last of an odd number of keys there is 0.
  void pack_values(int64_t b, int64_t h, Pairs* panels) const {
    const Parts vectors(whole_vectors(p.D), kMostVectors, 1);
    const int64_t pairs = (p.Lk + 1) / 2;
    for (int64_t panel = 0; panel < vectors.count; ++panel) {
      const int64_t lane = vectors.begin(panel) * kLanes<float>, width = vectors.size(panel) * kLanes<float>;
      const int64_t count = std::min(width, p.D - lane);
      Pairs* out = panels + lane * pairs;
      for (int64_t j = 0; j < p.Lk; j += 2, out += width) {
        const auto* low = reinterpret_cast<const uint16_t*>(row_of(v, b, h, j) + lane);
        const bool paired = j + 1 < p.Lk;
        const auto* high = reinterpret_cast<const uint16_t*>(row_of(v, b, h, paired ? j + 1 : j) + lane);
        const Pairs mask = paired ? 0xFFFF0000u : 0;
#pragma omp simd
        for (int64_t d = 0; d < count; ++d) { out[d] = low[d] | (static_cast<Pairs>(high[d]) << 16 & mask); }
        for (int64_t d = count; d < width; ++d) { out[d] = 0; }
      }
    }
  }

  /// A row of scores becomes exp(scores - max), rounded to bf16 from its beginning on; returns their sum.
  float probabilities(float* row, int64_t at) const {
    const auto scale = static_cast<float>(p.scale);
#pragma omp simd
    for (int64_t j = 0; j < p.Lk; ++j) { row[j] *= scale; }
    float top;
    const float sum = exponentials(row, p.Lk, &top);
    if (lse != nullptr) { lse[at] = top + math::log(sum); }
    const int64_t whole = whole_vectors(p.Lk) * kLanes<float>;
    for (int64_t j = p.Lk; j < whole; ++j) { row[j] = 0; }
    ByPair::round_row(row, whole, reinterpret_cast<BFloat16*>(row));  // behind what is still to be read
    return sum;
  }
};
#endif

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

  /// Scores become probabilities, dprobs the gradient of the scores.
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

/// Runs body(b, h, workspace of the thread) for every head of every sample. The items do not touch each other's
/// results.
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
    if (PairedForward::serves(p, q, k, head_factor)) {
      return for_each_head(p, workspace, attention_forward_workspace(p), PairedForward{p, q, k, v, y, lse});
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

TERRACE_REGISTER(attention_forward<float>, forward<float>);
TERRACE_REGISTER(attention_forward<double>, forward<double>);
TERRACE_REGISTER(attention_forward<BFloat16>, forward<BFloat16>);
TERRACE_REGISTER(attention_backward<float>, backward<float>);
TERRACE_REGISTER(attention_backward<double>, backward<double>);
TERRACE_REGISTER(attention_backward<BFloat16>, backward<BFloat16>);

}  // namespace
}  // namespace terrace
