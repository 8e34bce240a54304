// Choosing elements: the slots of autograd/ops/selection.h. A tensor is seen as (outer, extent, inner) around the
// dimension that is worked on.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

enum class Scan : uint8_t { kFromFirst, kFromLast };
enum class Extreme : uint8_t { kLargest, kSmallest };
enum class SortOrder : uint8_t { kAscending, kDescending };

/// y = condition ? a : b; a null pointer stands for zeros.
template <class T>
inline constinit Kernel<void(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y)> where_select{
    "where"};

/// y (outer, count, inner) = x (outer, extent, inner) at index (outer, count, inner), whose range the card has checked.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, int64_t count, const T* x,
                             const int64_t* index, T* y)>
    gather_forward{"gather"};

/// Overwrites dx (outer, extent, inner): dy summed over equal indices, in their order.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index,
                             const T* dy, T* dx)>
    gather_backward{"gather backward"};

/// Running sums in f64.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, Scan scan, const T* x, T* y)> cumulate{
    "cumsum"};

/// The first k of each sorted row of x (rows, extent): values (rows, k) and indices (rows, k). Equal elements in the
/// order of their indices; NaN is larger than everything. `scratch` holds extent elements for each of `workers`
/// threads.
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t extent, int64_t k, SortOrder order, const T* x, int64_t workers,
                             int64_t* scratch, T* values, int64_t* indices)>
    sorted_prefix{"sort"};

/// index (outer, inner) of the extreme of x (outer, extent, inner); the first among equals, a NaN before everything.
template <class T>
inline constinit Kernel<void(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index)>
    arg_extreme{"argmax/argmin"};

/// Adds to `bins` how often each value of x occurs; every value is below the number of bins.
inline constinit Kernel<void(int64_t count, const int64_t* x, int64_t* bins)> count_bins{"bincount"};

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
