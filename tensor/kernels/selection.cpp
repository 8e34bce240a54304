#include "tensor/kernels/selection.h"

#include <omp.h>

#include <algorithm>

#include "tensor/base/dtype.h"

namespace terrace {
namespace {

template <class T>
void select(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const T* chosen = condition[i] != 0 ? a : b;
    y[i] = chosen == nullptr ? T() : chosen[i];
  }
}

constexpr int64_t kInnerBlock = 256;  // columns one thread takes at a time

int64_t blocks_of(int64_t inner) { return (inner + kInnerBlock - 1) / kInnerBlock; }

/// Calls f(outer index, first and last inner index) for every block of columns, in parallel.
template <class F>
void for_columns(int64_t outer, int64_t inner, const F& f) {
  const int64_t blocks = blocks_of(inner);
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < outer * blocks; ++task) {
    const int64_t begin = task % blocks * kInnerBlock;
    f(task / blocks, begin, begin + kInnerBlock < inner ? begin + kInnerBlock : inner);
  }
}

template <class T>
void gather(int64_t outer, int64_t extent, int64_t inner, int64_t count, const T* x, const int64_t* index, T* y) {
  for_columns(outer, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) { y[row + i] = x[(o * extent + index[row + i]) * inner + i]; }
    }
  });
}

/// Each column belongs to one thread, which adds in the order of the indices.
template <class T>
void scatter_add(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index, const T* dy,
                 T* dx) {
  using A = Accumulator<T>;
  for_columns(outer, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t e = 0; e < extent; ++e) {
      for (int64_t i = begin; i < end; ++i) { dx[(o * extent + e) * inner + i] = T(); }
    }
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) {
        T& target = dx[(o * extent + index[row + i]) * inner + i];
        target = static_cast<T>(static_cast<A>(target) + static_cast<A>(dy[row + i]));
      }
    }
  });
}

template <class T>
void cumulative_sum(int64_t outer, int64_t extent, int64_t inner, Scan scan, const T* x, T* y) {
  for_columns(outer, inner, [=](int64_t o, int64_t begin, int64_t end) {
    double sums[kInnerBlock] = {};
    for (int64_t step = 0; step < extent; ++step) {
      const int64_t e = scan == Scan::kFromFirst ? step : extent - 1 - step;
      const int64_t row = (o * extent + e) * inner;
      for (int64_t i = begin; i < end; ++i) {
        sums[i - begin] += static_cast<double>(x[row + i]);
        y[row + i] = static_cast<T>(static_cast<Accumulator<T>>(sums[i - begin]));
      }
    }
  });
}

template <class T>
bool is_nan(T value) {
  return value != value;
}

/// a before b in descending order, NaN first.
template <class A>
bool above(A a, A b) {
  return a > b || (is_nan(a) && !is_nan(b));
}

template <class T>
struct Before {
  using A = Accumulator<T>;
  const T* row;
  SortOrder order;
  bool operator()(int64_t i, int64_t j) const {
    const A a = static_cast<A>(row[i]), b = static_cast<A>(row[j]);
    const bool descending = order == SortOrder::kDescending;
    if (above(a, b)) { return descending; }
    if (above(b, a)) { return !descending; }
    return i < j;
  }
};

template <class T>
void sort_prefix(int64_t rows, int64_t extent, int64_t k, SortOrder order, const T* x, int64_t workers,
                 int64_t* scratch, T* values, int64_t* indices) {
#pragma omp parallel for schedule(static) num_threads(static_cast<int>(workers))
  for (int64_t r = 0; r < rows; ++r) {
    int64_t* permutation = scratch + omp_get_thread_num() * extent;
    for (int64_t i = 0; i < extent; ++i) { permutation[i] = i; }
    const Before<T> before{x + r * extent, order};
    if (k < extent) { std::nth_element(permutation, permutation + k, permutation + extent, before); }
    std::sort(permutation, permutation + k, before);
    for (int64_t i = 0; i < k; ++i) {
      indices[r * k + i] = permutation[i];
      values[r * k + i] = x[r * extent + permutation[i]];
    }
  }
}

/// a takes the place of b. Nothing takes the place of a NaN.
template <class A>
bool beats(A a, A b, Extreme extreme) {
  if (is_nan(b)) { return false; }
  return is_nan(a) || (extreme == Extreme::kLargest ? a > b : a < b);
}

template <class T>
void find_extreme(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index) {
  for_columns(outer, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* column = x + o * extent * inner + i;
      int64_t best = 0;
      for (int64_t e = 1; e < extent; ++e) {
        if (beats(column[e * inner], column[best * inner], extreme)) { best = e; }
      }
      index[o * inner + i] = best;
    }
  });
}

void add_to_bins(int64_t count, const int64_t* x, int64_t* bins) {
  for (int64_t i = 0; i < count; ++i) { ++bins[x[i]]; }
}

template <class T>
T squared_norm_of(const T* row, int64_t cols) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < cols; ++c) { sum += row[c] * row[c]; }
  return sum;
}

template <class T>
void row_norms(int64_t rows, int64_t cols, const T* x, T* norms) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) { norms[r] = squared_norm_of(x + r * cols, cols); }
}

template <class T>
void unit_rows(int64_t rows, int64_t cols, const T* x, T* y) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T norm = __builtin_sqrt(squared_norm_of(x + r * cols, cols));
    const T divisor = norm < T(1e-12) ? T(1e-12) : norm;
    for (int64_t c = 0; c < cols; ++c) { y[r * cols + c] = x[r * cols + c] / divisor; }
  }
}

template <class T>
void nearest(int64_t rows, int64_t codes, const T* norms, const T* code_norms, const T* products, int64_t* index) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = products + r * codes;
    // The smallest distance first, as that vectorises, then where it is. A NaN distance never compares as smaller.
    T least = norms[r] + code_norms[0] - 2 * row[0];
#pragma omp simd reduction(min : least)
    for (int64_t v = 0; v < codes; ++v) {
      const T distance = norms[r] + code_norms[v] - 2 * row[v];
      least = distance < least ? distance : least;
    }
    int64_t best = 0;
    while (best < codes && !(norms[r] + code_norms[best] - 2 * row[best] == least)) { ++best; }
    index[r] = best < codes ? best : 0;
  }
}

#define TERRACE_REGISTER_SELECTION(T)                   \
  TERRACE_REGISTER(where_select<T>, select<T>);         \
  TERRACE_REGISTER(gather_forward<T>, gather<T>);       \
  TERRACE_REGISTER(gather_backward<T>, scatter_add<T>); \
  TERRACE_REGISTER(cumulate<T>, cumulative_sum<T>);     \
  TERRACE_REGISTER(sorted_prefix<T>, sort_prefix<T>);   \
  TERRACE_REGISTER(arg_extreme<T>, find_extreme<T>)

TERRACE_REGISTER_SELECTION(float);
TERRACE_REGISTER_SELECTION(double);
TERRACE_REGISTER_SELECTION(BFloat16);
TERRACE_REGISTER(where_select<int64_t>, select<int64_t>);
TERRACE_REGISTER(arg_extreme<int64_t>, find_extreme<int64_t>);
TERRACE_REGISTER(count_bins, add_to_bins);
TERRACE_REGISTER(squared_row_norms<float>, row_norms<float>);
TERRACE_REGISTER(squared_row_norms<double>, row_norms<double>);
TERRACE_REGISTER(normalize_rows<float>, unit_rows<float>);
TERRACE_REGISTER(normalize_rows<double>, unit_rows<double>);
TERRACE_REGISTER(nearest_by_products<float>, nearest<float>);
TERRACE_REGISTER(nearest_by_products<double>, nearest<double>);

}  // namespace
}  // namespace terrace
