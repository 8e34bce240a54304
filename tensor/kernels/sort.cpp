#include "tensor/kernels/sort.h"

#include <omp.h>

#include <algorithm>

#include "tensor/base/dtype.h"

namespace terrace {
namespace {

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

TERRACE_REGISTER_FLOATS(sorted_prefix, sort_prefix);

}  // namespace
}  // namespace terrace
