#include "tensor/kernels/interpolate.h"

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
      for (int64_t j = 0; j < count; ++j) sum[j] = 0;
      for (int64_t e = rows.begin[i]; e < rows.begin[i + 1]; ++e) {
        const A weight = rows.weight[e];
        const In* in = x + rows.position[e] * width + left;
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) sum[j] += weight * static_cast<A>(in[j]);
      }
      for (int64_t j = 0; j < count; ++j) y[i * width + left + j] = static_cast<Out>(sum[j]);
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

template <class T>
void resample_planes(int64_t planes, const SparseRows<Accumulator<T>>& rows, const SparseRows<Accumulator<T>>& cols,
                     const T* x, Accumulator<T>* scratch, T* y) {
  using A = Accumulator<T>;
  const int64_t each = resample_scratch(rows.outputs, rows.inputs, cols.outputs, cols.inputs);
#pragma omp parallel for schedule(static)
  for (int64_t p = 0; p < planes; ++p) {
    const T* in = x + p * rows.inputs * cols.inputs;
    A* between = scratch + p * each;
    T* out = y + p * rows.outputs * cols.outputs;
    if (rows.outputs <= rows.inputs) {
      combine_rows(rows, cols.inputs, in, between);
      combine_columns(cols, rows.outputs, between, out);
    } else {
      combine_columns(cols, rows.inputs, in, between);
      combine_rows(rows, cols.outputs, between, out);
    }
  }
}

TERRACE_REGISTER(resample<float>, resample_planes<float>);
TERRACE_REGISTER(resample<double>, resample_planes<double>);
TERRACE_REGISTER(resample<BFloat16>, resample_planes<BFloat16>);

}  // namespace
}  // namespace terrace
