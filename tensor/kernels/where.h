// Elementwise choice between two arrays; formulas in autograd/ops/where.h.
#pragma once

#include "tensor/device/kernel.h"

namespace terrace {

/// y = condition ? a : b; a null pointer stands for zeros.
template <class T>
inline constinit Kernel<void(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y)> where_select{
    "where"};

}  // namespace terrace
