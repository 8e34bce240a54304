#include "tensor/kernels/reduce.h"

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

constexpr int64_t kShortRow = 16384;  // summed as one part
constexpr int64_t kBlock = 1024;      // elements summed in T's accumulator before the partial sum moves to double
constexpr int64_t kShards = 64;       // parts of one long row; fixed, so that the order of summation is

struct Identity {
  template <class A>
  A operator()(A v) const {
    return v;
  }
};
struct Squared {
  template <class A>
  A operator()(A v) const {
    return v * v;
  }
};

template <class Map, class T>
double sum_span(const T* x, int64_t count) {
  using A = Accumulator<T>;
  double total = 0;
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t last = first + kBlock < count ? first + kBlock : count;
    A partial = 0;
#pragma omp simd reduction(+ : partial)
    for (int64_t i = first; i < last; ++i) { partial += Map{}(static_cast<A>(x[i])); }
    total += static_cast<double>(partial);
  }
  return total;
}

/// One long row, by all threads.
template <class Map, class T>
double sum_long(const T* x, int64_t count) {
  if (count <= kShortRow) { return sum_span<Map>(x, count); }
  double partial[kShards];
  const int64_t length = (count + kShards - 1) / kShards;
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t s = 0; s < kShards; ++s) {
    const int64_t first = s * length < count ? s * length : count;
    const int64_t last = first + length < count ? first + length : count;
    partial[s] = sum_span<Map>(x + first, last - first);
  }
  double total = 0;
  for (double p : partial) { total += p; }
  return total;
}

template <class T>
T max_of(T a, T b) {
  return (a > b || a != a) ? a : b;
}

template <class T>
T max_span(const T* x, int64_t count) {
  T best = x[0];
  for (int64_t i = 1; i < count; ++i) { best = max_of(best, x[i]); }
  return best;
}

/// Columns [begin, begin + width) of one (R, C) matrix, rows added one after another in blocks.
constexpr int64_t kWidth = 64;
template <class T>
void sum_columns(const T* x, T* y, int64_t R, int64_t C, int64_t width) {
  using A = Accumulator<T>;
  double total[kWidth] = {};
  for (int64_t first = 0; first < R; first += kBlock / 4) {
    const int64_t last = first + kBlock / 4 < R ? first + kBlock / 4 : R;
    A partial[kWidth] = {};
    for (int64_t r = first; r < last; ++r) {
      const T* row = x + r * C;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) { partial[c] += static_cast<A>(row[c]); }
    }
    for (int64_t c = 0; c < width; ++c) { total[c] += static_cast<double>(partial[c]); }
  }
  for (int64_t c = 0; c < width; ++c) { y[c] = static_cast<T>(total[c]); }
}

template <class T>
void max_columns(const T* x, T* y, int64_t R, int64_t C, int64_t width) {
  for (int64_t c = 0; c < width; ++c) { y[c] = x[c]; }
  for (int64_t r = 1; r < R; ++r) {
    for (int64_t c = 0; c < width; ++c) { y[c] = max_of(y[c], x[r * C + c]); }
  }
}

/// Runs `rows` (C == 1) over a, or `columns` over (a, column block).
template <class T, class Rows, class Columns>
void reduce(const T* x, T* y, int64_t A, int64_t R, int64_t C, Rows&& rows, Columns&& columns) {
  if (C == 1) {
#pragma omp parallel for schedule(static) if (A * R > kMinParallelElements)
    for (int64_t a = 0; a < A; ++a) { y[a] = rows(x + a * R, R); }
    return;
  }
  const int64_t blocks = (C + kWidth - 1) / kWidth;
#pragma omp parallel for schedule(static) if (A * R * C > kMinParallelElements)
  for (int64_t job = 0; job < A * blocks; ++job) {
    const int64_t a = job / blocks, first = job % blocks * kWidth;
    columns(x + a * R * C + first, y + a * C + first, R, C, C - first < kWidth ? C - first : kWidth);
  }
}

template <class T>
void sum_middle(const T* x, T* y, int64_t A, int64_t R, int64_t C) {
  if (A == 1 && C == 1) {
    *y = static_cast<T>(sum_long<Identity>(x, R));
    return;
  }
  reduce(
      x, y, A, R, C, [](const T* row, int64_t n) { return static_cast<T>(sum_span<Identity>(row, n)); },
      sum_columns<T>);
}

template <class T>
void max_middle(const T* x, T* y, int64_t A, int64_t R, int64_t C) {
  reduce(x, y, A, R, C, max_span<T>, max_columns<T>);
}

template <class T>
double squares(const T* x, int64_t count) {
  return sum_long<Squared>(x, count);
}

template <class T>
bool find_nan(const T* x, int64_t count) {
  bool found = false;
#pragma omp parallel for simd schedule(static) reduction(| : found) if (parallel : count > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) {
    found |= static_cast<Accumulator<T>>(x[i]) != static_cast<Accumulator<T>>(x[i]);
  }
  return found;
}

TERRACE_REGISTER_FLOATS(reduce_sum, sum_middle);
TERRACE_REGISTER_FLOATS(reduce_max, max_middle);
TERRACE_REGISTER_FLOATS(reduce_squares, squares);
TERRACE_REGISTER_FLOATS(any_nan, find_nan);

}  // namespace
}  // namespace terrace
