// Sorted prefixes of rows: sort and topk of autograd/ops/sort.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

enum class SortOrder : uint8_t { kAscending, kDescending };

/// The first k of each sorted row of x (rows, extent): values (rows, k) and indices (rows, k). Equal elements in the
/// order of their indices; NaN is larger than everything. `scratch` holds extent elements for each of `workers`
/// threads.
template <class T>
inline constinit Kernel<void(int64_t rows, int64_t extent, int64_t k, SortOrder order, const T* x, int64_t workers,
                             int64_t* scratch, T* values, int64_t* indices)>
    sorted_prefix{"sort"};

}  // namespace terrace
