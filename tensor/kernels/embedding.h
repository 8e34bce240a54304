// Rows of a table by index; formulas in autograd/ops/embedding.h.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// A table (rows, cols), and `count` indices into it. The op checks indices that lie on the CPU. A kernel of another
/// device cannot throw: there an index outside the table gives a row of NaN, and its gradient is discarded.
struct EmbeddingExtents {
  int64_t rows, cols, count;
};

/// y (count, cols) = weight[indices].
template <class T>
inline constinit Kernel<void(const T* weight, const int64_t* indices, T* y, EmbeddingExtents extents)>
    embedding_forward{"embedding"};

/// Adds row i of dy to row indices[i] of dweight, in the order of i for every element.
template <class T>
inline constinit Kernel<void(const T* dy, const int64_t* indices, Accumulator<T>* dweight, EmbeddingExtents extents)>
    embedding_backward{"embedding backward"};

}  // namespace terrace
