// Matrix products of tensors, over the two CPU libraries (tensor/gemm.h picks by shape).
#pragma once

#include "tensor/gemm.h"
#include "tensor/tensor.h"

namespace terrace {

/// c (M,N) = [c +] op(a) op(b) for matrices with a unit stride in one dimension (row- or column-major, any leading
/// dimension); others are copied first. f32 and bf16 through gemm() of tensor/gemm.h, f64 through OpenBLAS.
/// `c` must be row-contiguous. f32 accumulation for bf16.
void matmul_into(const Tensor& a, const Tensor& b, Tensor& c, Write write = Write::kOverwrite);

/// a (..., M, K) times b (..., K, N) with numpy's broadcasting over the leading extents. Throws ShapeError, DTypeError.
Tensor matmul(const Tensor& a, const Tensor& b);

/// x (..., K) times weight (N, K) transposed, plus bias (N) where defined: (..., N). The form of
/// torch.nn.functional.linear. A weight may be stored in bf16 beside an f32 x: products and sums are f32's.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

}  // namespace terrace
