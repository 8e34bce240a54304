// What the CPU's attention kernels share: rows of q, k, v and y loaded, normalised and stored, and a row's softmax.
// Included by the attention kernels' .cpp file only, which is compiled once per instruction set; hence the anonymous
// namespace.
#pragma once

#include <cstdint>

#include "tensor/base/math.h"
#include "tensor/kernels/attention.h"

namespace terrace {
namespace {

/// Hands out consecutive blocks of a thread's workspace.
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

/// The distance of the score tile's rows: no multiple of 1024 bytes, at which they would all map to a few cache sets.
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

}  // namespace
}  // namespace terrace
