// Matrix products of tensors, by the slot of tensor/kernels/product.h: the CPU's by gemm() of tensor/gemm/gemm.h. f32,
// bf16 (accumulated in f32, fused bias and activation included) and f64. Operands of one call are on one device
// (DeviceError).
#pragma once

#include "tensor/device/kernel.h"
#include "tensor/tensor.h"

namespace terrace {

/// c (M,N) = [c +] op(a) op(b) for matrices with a unit stride in one dimension (row- or column-major, any leading
/// dimension); others are copied first. `c` must be row-contiguous.
void matmul_into(const Tensor& a, const Tensor& b, Tensor& c, Write write = Write::kOverwrite);

/// a (..., M, K) times b (..., K, N) with numpy's broadcasting over the leading extents. Throws ShapeError, DTypeError.
Tensor matmul(const Tensor& a, const Tensor& b);

/// x (..., K) times weight (N, K) transposed, plus bias (N) where defined: (..., N). The form of
/// torch.nn.functional.linear. The weight of an f32 x may be stored in bf16: sums are f32, and so are products, except
/// where has_bf16_products() and K is even: there x is rounded to bf16, a relative error of up to 2^-9.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

/// The same with a result of a given type: x's, or f32 where x and weight are bf16, which is the sums without their
/// rounding. The bias is of that type. Throws DTypeError for another.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, DType result);

/// gelu_tanh(linear(x, weight, bias)) in one pass over the product. `pre_activation`, unless null, receives linear's
/// value, which the derivative reads.
Tensor linear_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor* pre_activation);

/// x (..., K) as (rows, K).
Tensor as_rows(const Tensor& x);

// --- Gradients of the two, for dy (..., N) ---------------------------------------------------------------------------

enum class BiasGradient : bool { kNo = false, kYes = true };

/// Gradients of a layer's weight and bias, each undefined unless LinearWanted names it.
struct LinearGradients {
  Tensor weight;  // (N, K) = dy^T x
  Tensor bias;    // (N) = dy summed over all rows
};
struct LinearWanted {
  bool weight, bias;
};
LinearGradients linear_parameter_gradients(const Tensor& dy, const Tensor& x, LinearWanted wanted);

/// Gradients of linear(gelu_tanh(pre_activation), weight): d_pre_activation = (dy weight) gelu_tanh'(pre_activation),
/// and the gradient of the bias that was added in `pre_activation`.
struct GeluGradients {
  Tensor pre_activation;  // (..., K)
  Tensor bias;            // (K) = that of pre_activation summed over all rows, or undefined
};
GeluGradients linear_gelu_gradients(const Tensor& dy, const Tensor& weight, const Tensor& pre_activation,
                                    BiasGradient bias);

}  // namespace terrace
