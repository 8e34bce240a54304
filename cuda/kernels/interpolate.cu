// One direction after the other, a thread for each element of the result: its row of the resampling matrix has few
// entries, and neighbouring threads read neighbouring elements. The intermediate result stays cached in VAR, whose maps
// are 16 x 16.
#include "tensor/kernels/interpolate.h"

#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

/// y (planes, outputs, width) = rows * x (planes, inputs, width).
template <class A, class In, class Out>
struct CombineRows {
  SparseRows<A> rows;
  int64_t width;
  const In* x;
  Out* y;
  template <int>
  __device__ void run(int64_t at) const {
    const int64_t line = at / width, plane = line / rows.outputs, i = line % rows.outputs;
    const In* column = x + plane * rows.inputs * width + at % width;
    A sum = 0;
    for (int64_t e = rows.begin[i]; e < rows.begin[i + 1]; ++e) {
      sum += rows.weight[e] * static_cast<A>(column[rows.position[e] * width]);
    }
    y[at] = static_cast<Out>(sum);
  }
};

/// y (lines, outputs) = x (lines, inputs) * cols^T.
template <class A, class In, class Out>
struct CombineColumns {
  SparseRows<A> cols;
  const In* x;
  Out* y;
  template <int>
  __device__ void run(int64_t at) const {
    const int64_t j = at % cols.outputs;
    const In* line = x + at / cols.outputs * cols.inputs;
    A sum = 0;
    for (int64_t e = cols.begin[j]; e < cols.begin[j + 1]; ++e) {
      sum += cols.weight[e] * static_cast<A>(line[cols.position[e]]);
    }
    y[at] = static_cast<Out>(sum);
  }
};

template <class T>
void resample_planes(int64_t planes, const SparseRows<Accumulator<T>>& rows, const SparseRows<Accumulator<T>>& cols,
                     const T* x, Accumulator<T>* scratch, T* y) {
  using A = Accumulator<T>;
  const int64_t outputs = planes * rows.outputs * cols.outputs;
  if (rows.outputs <= rows.inputs) {
    cuda::launch_each("interpolate rows", planes * rows.outputs * cols.inputs,
                      CombineRows<A, T, A>{rows, cols.inputs, x, scratch});
    cuda::launch_each("interpolate columns", outputs, CombineColumns<A, A, T>{cols, scratch, y});
  } else {
    cuda::launch_each("interpolate columns", planes * rows.inputs * cols.outputs,
                      CombineColumns<A, T, A>{cols, x, scratch});
    cuda::launch_each("interpolate rows", outputs, CombineRows<A, A, T>{rows, cols.outputs, scratch, y});
  }
}

TERRACE_REGISTER_FLOATS(resample, resample_planes);

}  // namespace
}  // namespace terrace
