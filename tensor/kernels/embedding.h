// Rows of a table by index; formulas in autograd/ops/embedding.h.
#pragma once

#include "tensor/dtype.h"
#include "tensor/kernel.h"

namespace terrace {

/// y (count, cols) = weight[indices]; the indices lie within the table.
template <class T>
inline constinit Kernel<void(const T* weight, const int64_t* indices, T* y, int64_t count, int64_t cols)>
    embedding_forward{"embedding"};

/// Adds row i of dy to row indices[i] of dweight, in the order of i for every element.
template <class T>
inline constinit Kernel<void(const T* dy, const int64_t* indices, Accumulator<T>* dweight, int64_t count, int64_t cols)>
    embedding_backward{"embedding backward"};

}  // namespace terrace
