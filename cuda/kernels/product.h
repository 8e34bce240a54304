// Products without NVIDIA's libraries (cuda/kernels/product.cu): what cuda-host computes them by, and what a GPU falls
// back to where cuBLASLt takes no such layout, type or epilogue.
#pragma once

#include "tensor/kernels/product.h"

namespace terrace::cuda {

/// The whole of `product`, by tiles in shared memory and plain multiply-adds; each sum in the order of k.
template <class T, class R>
void tiled_product(const Product<T, R>& product);

/// The epilogue in place, where product.c holds op(A) op(B) alone: bias, GELU or its derivative, and the sums.
template <class T, class R>
void finish_product(const Product<T, R>& product);

}  // namespace terrace::cuda
