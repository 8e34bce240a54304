// The product of a linear layer, y = x W^T + bias, that reads the weights where they lie: nothing of W is packed, so
// few rows of x cost little more than reading W once. tensor/gemm/gemm.cpp sends products of this form here.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// x (M, K), weight (N, K), y (M, N), row-major with rows ldx, ldw, ldy apart; bias (N) or null.
template <class W>
struct LinearProduct {
  int64_t M = 0, N = 0, K = 0;
  int64_t ldx = 0, ldw = 0, ldy = 0;
  const float* x = nullptr;
  const W* weight = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
};

/// Overwrites y. Divides the columns of y among the threads (inside a parallel region the calling thread does all);
/// takes working memory of x's size from the allocator.
///
/// Rows of x become the lanes of vectors, by panels of up to four vectors; a weight is broadcast to them. A block of K
/// is summed in registers, blocks are added in their order. So an element is summed in the same order, to the same
/// bits, as by gemm_block (tensor/kernels/gemm/gemm_block.h): by K alone, whatever M, N and the number of threads are.
template <class W>
inline constinit Kernel<void(const LinearProduct<W>& product)> linear_product{"linear"};

/// As linear_product, with x rounded to bf16 and products of pairs; K even. Of a number of rows that leaves one vector
/// eight lanes full or fewer, those rows are summed apart, 32 k at a time: their last bits are another order's. Filled
/// by a backend whose processor may have the instructions (AVX512-BF16): call it where it does, has_bf16_products() of
/// tensor/device/device.h.
inline constinit Kernel<void(const LinearProduct<BFloat16>& product)> linear_product_bf16{"linear (bf16 products)"};

}  // namespace terrace
