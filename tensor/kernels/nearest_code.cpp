#include "tensor/kernels/nearest_code.h"

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

template <class T>
T squared_norm_of(const T* row, int64_t cols) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < cols; ++c) { sum += row[c] * row[c]; }
  return sum;
}

template <class T>
void row_norms(int64_t rows, int64_t cols, const T* x, T* norms) {
#pragma omp parallel for schedule(static) if (rows * cols > kMinParallelRowElements)
  for (int64_t r = 0; r < rows; ++r) { norms[r] = squared_norm_of(x + r * cols, cols); }
}

template <class T>
void unit_rows(int64_t rows, int64_t cols, const T* x, T* y) {
#pragma omp parallel for schedule(static) if (rows * cols > kMinParallelRowElements)
  for (int64_t r = 0; r < rows; ++r) {
    const T norm = __builtin_sqrt(squared_norm_of(x + r * cols, cols));
    const T divisor = norm < T(1e-12) ? T(1e-12) : norm;
    for (int64_t c = 0; c < cols; ++c) { y[r * cols + c] = x[r * cols + c] / divisor; }
  }
}

template <class T>
void nearest(int64_t rows, int64_t codes, const T* norms, const T* code_norms, const T* products, int64_t* index) {
#pragma omp parallel for schedule(static) if (rows * codes > kMinParallelRowElements)
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

TERRACE_REGISTER(squared_row_norms<float>, row_norms<float>);
TERRACE_REGISTER(squared_row_norms<double>, row_norms<double>);
TERRACE_REGISTER(normalize_rows<float>, unit_rows<float>);
TERRACE_REGISTER(normalize_rows<double>, unit_rows<double>);
TERRACE_REGISTER(nearest_by_products<float>, nearest<float>);
TERRACE_REGISTER(nearest_by_products<double>, nearest<double>);

}  // namespace
}  // namespace terrace
