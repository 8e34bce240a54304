// The nearest row of a table for each vector: the steps of autograd/ops/nearest_code.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

/// norms[i] = |x_i|^2 of the rows of x (rows, cols).
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t cols, const T* x, T* norms)> squared_row_norms{"nearest_code"};

/// y_i = x_i / max(|x_i|, 1e-12) for the rows of x (rows, cols).
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t cols, const T* x, T* y)> normalize_rows{"nearest_code"};

/// index[i] = argmin_v (row_norms[i] + code_norms[v] - 2 products[i,v]), products (rows, codes); the first among
/// equals.
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t codes, const T* row_norms, const T* code_norms, const T* products,
                             int64_t* index)>
    nearest_by_products{"nearest_code"};

/// The same from the vectors themselves, x (rows, cols) and table (codes, cols), for backends whose product and minimum
/// are one kernel. Null norms: the row of the table with the largest product.
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t codes, int64_t cols, const T* x, const T* table, const T* row_norms,
                             const T* code_norms, int64_t* index)>
    nearest_search{"nearest_code"};

}  // namespace terrace
