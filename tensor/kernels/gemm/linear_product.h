// The product of a linear layer, y = x W^T + bias, that reads the weights in place: W is not packed, so a product of
// few rows of x costs little more than reading W once. tensor/gemm/gemm.cpp decides which products are computed so.
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

/// Overwrites y. Divides the columns of y among the threads (inside a parallel region the calling thread computes all);
/// takes working memory of x's size from the allocator.
///
/// The rows of x are the lanes of vectors, in panels of up to four vectors, and each weight is broadcast to them. A
/// block of K is summed in registers, and blocks are added in order. So an element is summed in the same order, to the
/// same bits, as by gemm_block (tensor/kernels/gemm/gemm_block.h): K alone decides it, whatever M, N and the number of
/// threads are.
template <class W>
inline constinit Kernel<void(const LinearProduct<W>& product)> linear_product{"linear"};

/// As linear_product, with x rounded to bf16 and multiplied in pairs of k; K is even. Where M leaves the last vector
/// with at most eight rows, those rows are a tail: each is a dot product over 32 k at a time, whose order of summation
/// differs from that of the other rows. Filled by the backend whose processors may have AVX512-BF16; to be called only
/// where has_bf16_products() of tensor/device/device.h is true.
inline constinit Kernel<void(const LinearProduct<BFloat16>& product)> linear_product_bf16{"linear (bf16 products)"};

}  // namespace terrace
