// Resampling of images by two sparse matrices: the slot of autograd/ops/interpolate.h, for both directions.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// A sparse matrix (outputs, inputs) by rows: entries begin[i] to begin[i+1] of `position` and `weight` are row i.
template <class A>
struct SparseRows {
  int64_t outputs = 0, inputs = 0;
  const int64_t* begin = nullptr;
  const int64_t* position = nullptr;
  const A* weight = nullptr;
};

/// Elements of scratch that `resample` wants for each plane.
inline int64_t resample_scratch(int64_t row_outputs, int64_t row_inputs, int64_t col_outputs, int64_t col_inputs) {
  return row_outputs <= row_inputs ? row_outputs * col_inputs : row_inputs * col_outputs;
}

/// y[p] = rows * x[p] * cols^T for each of `planes` planes. x (planes, rows.inputs, cols.inputs),
/// y (planes, rows.outputs, cols.outputs). Sums in the order of the entries, the direction that leaves less work first.
template <class T>
inline constinit Kernel<void(int64_t planes, const SparseRows<Accumulator<T>>& rows,
                             const SparseRows<Accumulator<T>>& cols, const T* x, Accumulator<T>* scratch, T* y)>
    resample{"interpolate"};

}  // namespace terrace
