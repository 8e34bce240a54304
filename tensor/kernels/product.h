// Products of strided matrices, many at once, with what is done to a product before it is stored: the slot of
// tensor/matmul.h. The CPU's is in tensor/gemm/product.cpp; on a GPU it is cuBLASLt's (cuda/libraries/product.cpp).
#pragma once

#include <cstdint>

#include "tensor/device/kernel.h"
#include "tensor/kernels/gemm/gemm_shape.h"
#include "tensor/kernels/reduce.h"

namespace terrace {

/// What is stored, of the product P = op(A) op(B) in f32 (f64 for f64):
enum class Epilogue : uint8_t {
  kNone,          // c = P, or c + P with Write::kAccumulate
  kBias,          // c = P + bias
  kBiasGelu,      // c = gelu_tanh(P + bias), and pre_activation = P + bias unless null
  kGeluBackward,  // c = P gelu_tanh'(pre_activation), and column_sums unless null
};

/// No extent is 0. Every epilogue but kNone goes with Write::kOverwrite, one matrix and a packed c (ldc == N). Results
/// of type R are the sums as they are where T is bf16 and R f32; kNone without sums and kBias alone are for these.
template <class T, class R = T>
struct Product {
  GemmShape shape;
  const T* a = nullptr;
  const T* b = nullptr;
  R* c = nullptr;
  Write write = Write::kOverwrite;
  int64_t batch = 1;
  int64_t step_a = 0, step_b = 0, step_c = 0;  // elements from one matrix to the next; 0 for one that all share
  Epilogue epilogue = Epilogue::kNone;
  const R* bias = nullptr;      // (N), read by kBias and kBiasGelu; null is none
  T* pre_activation = nullptr;  // (M, N), packed: what gelu_tanh is applied to; read by kGeluBackward
  R* column_sums = nullptr;     // (N): with kGeluBackward, c summed over its rows
  T* sums_of_a = nullptr;       // (M): with kNone, op(A) summed over k; A's rows are packed
};

template <class T, class R = T>
inline constinit Kernel<void(const Product<T, R>& product)> matrix_product{"matmul"};

/// The sums that go with a product, once c is stored: for the kernels of a device.
template <class T, class R>
void sum_up(Device device, const Product<T, R>& p) {
  const GemmShape& s = p.shape;
  if (p.column_sums != nullptr) { reduce_sum<R>(device, p.c, p.column_sums, 1, s.M, s.N); }
  if (p.sums_of_a == nullptr) { return; }
  if (s.transpose_a == Transpose::kYes) {
    reduce_sum<T>(device, p.a, p.sums_of_a, 1, s.K, s.M);
  } else {
    reduce_sum<T>(device, p.a, p.sums_of_a, s.M, s.K, 1);
  }
}

}  // namespace terrace
