#include "tensor/kernels/interpolate.h"

#include <algorithm>

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

/// y (outputs, width) = rows * x (inputs, width).
template <class A, class In, class Out>
void combine_rows(const SparseRows<A>& rows, int64_t width, const In* x, Out* y) {
  constexpr int64_t kBlock = 64;  // columns summed at a time, so that the sums stay in registers or the first cache
  A sum[kBlock];
  for (int64_t left = 0; left < width; left += kBlock) {
    const int64_t count = width - left < kBlock ? width - left : kBlock;
    for (int64_t i = 0; i < rows.outputs; ++i) {
      for (int64_t j = 0; j < count; ++j) { sum[j] = 0; }
      for (int64_t e = rows.begin[i]; e < rows.begin[i + 1]; ++e) {
        const A weight = rows.weight[e];
        const In* in = x + rows.position[e] * width + left;
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) { sum[j] += weight * static_cast<A>(in[j]); }
      }
      for (int64_t j = 0; j < count; ++j) { y[i * width + left + j] = static_cast<Out>(sum[j]); }
    }
  }
}

/// y (height, outputs) = x (height, inputs) * cols^T.
template <class A, class In, class Out>
void combine_columns(const SparseRows<A>& cols, int64_t height, const In* x, Out* y) {
  for (int64_t r = 0; r < height; ++r, x += cols.inputs, y += cols.outputs) {
    for (int64_t j = 0; j < cols.outputs; ++j) {
      A sum = 0;
      for (int64_t e = cols.begin[j]; e < cols.begin[j + 1]; ++e) {
        sum += cols.weight[e] * static_cast<A>(x[cols.position[e]]);
      }
      y[j] = static_cast<Out>(sum);
    }
  }
}

/// Whether every output is one of the inputs.
template <class A>
bool selects(const SparseRows<A>& matrix) {
  for (int64_t i = 0; i < matrix.outputs; ++i) {
    if (matrix.begin[i + 1] - matrix.begin[i] != 1 || matrix.weight[matrix.begin[i]] != A(1)) { return false; }
  }
  return true;
}

/// y = rows * x * cols^T where both select: an output line that repeats the one above is a copy of it.
template <class T, class A>
void select(const SparseRows<A>& rows, const SparseRows<A>& cols, const T* x, T* y) {
  const int64_t width = cols.outputs;
  for (int64_t i = 0; i < rows.outputs; ++i) {
    T* out = y + i * width;
    if (i > 0 && rows.position[i] == rows.position[i - 1]) {
      std::copy_n(out - width, width, out);
      continue;
    }
    const T* in = x + rows.position[i] * cols.inputs;
    for (int64_t j = 0; j < width; ++j) { out[j] = in[cols.position[j]]; }
  }
}

template <class T>
void resample_planes(int64_t planes, const SparseRows<Accumulator<T>>& rows, const SparseRows<Accumulator<T>>& cols,
                     const T* x, Accumulator<T>* scratch, T* y) {
  using A = Accumulator<T>;
  const int64_t each = resample_scratch(rows.outputs, rows.inputs, cols.outputs, cols.inputs);
  const bool selection = selects(rows) && selects(cols);
#pragma omp parallel for schedule(static) if (planes * (each + rows.outputs * cols.outputs) > kMinParallelElements)
  for (int64_t p = 0; p < planes; ++p) {
    const T* in = x + p * rows.inputs * cols.inputs;
    A* between = scratch + p * each;
    T* out = y + p * rows.outputs * cols.outputs;
    if (selection) {
      select(rows, cols, in, out);
    } else if (rows.outputs <= rows.inputs) {
      combine_rows(rows, cols.inputs, in, between);
      combine_columns(cols, rows.outputs, between, out);
    } else {
      combine_columns(cols, rows.inputs, in, between);
      combine_rows(rows, cols.outputs, between, out);
    }
  }
}

TERRACE_REGISTER_FLOATS(resample, resample_planes);

}  // namespace
}  // namespace terrace
