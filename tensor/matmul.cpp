#include "tensor/matmul.h"

#include <omp.h>

#include "tensor/pointwise.h"

namespace terrace {
namespace {

/// A matrix as the libraries take it: row-major or its transpose, with the length of its stored rows.
struct Operand2d {
  Tensor keep;  // the copy, where the strides fit neither form
  Transpose transpose;
  int64_t stride;
};

Operand2d as_operand(const Tensor& t) {
  const int64_t rows = t.dim(0), cols = t.dim(1);
  const int64_t row_step = t.strides()[0], col_step = t.strides()[1];
  if ((col_step == 1 || cols == 1) && (row_step >= cols || rows == 1)) {
    return {t, Transpose::kNo, rows == 1 ? cols : row_step};
  }
  if ((row_step == 1 || rows == 1) && (col_step >= rows || cols == 1)) {
    return {t, Transpose::kYes, cols == 1 ? rows : col_step};
  }
  return {t.contiguous(), Transpose::kNo, cols};
}

template <class T>
void run_gemm(const Operand2d& a, const Operand2d& b, Tensor& c, int64_t K, Write write) {
  const GemmShape shape{a.transpose, b.transpose, c.dim(0), c.dim(1),
                        K,           a.stride,    b.stride, c.dim(0) == 1 ? c.dim(1) : c.strides()[0]};
  gemm(shape, a.keep.data<T>(), b.keep.data<T>(), c.data<T>(), write);
}

void check_product(const Tensor& a, const Tensor& b, const char* op) {
  if (a.dtype() != b.dtype()) {
    throw DTypeError(cat(op, ": both operands must have one dtype, got ", a.describe(), " and ", b.describe()));
  }
  if (!is_floating(a.dtype()) || a.dtype() == DType::kF16) {
    throw DTypeError(cat(op, ": needs f32, bf16 or f64, got ", a.describe()));
  }
  if (a.ndim() < 2 || b.ndim() < 2 || a.dim(-1) != b.dim(-2)) {
    throw ShapeError(cat(op, ": needs (..., M, K) times (..., K, N), got ", a.shape(), " times ", b.shape()));
  }
}

}  // namespace

void matmul_into(const Tensor& a, const Tensor& b, Tensor& c, Write write) {
  check_product(a, b, "matmul");
  check_ndim(a, 2, "matmul_into", "a");
  check_ndim(b, 2, "matmul_into", "b");
  check_shape(c, {a.dim(0), b.dim(1)}, "matmul_into", "c");
  check_dtype(c, a.dtype(), "matmul_into", "c");
  const int64_t K = a.dim(1);
  c.bump_version();
  if (c.numel() == 0) return;
  if (K == 0) {
    if (write == Write::kOverwrite) c.zero_();
    return;
  }
  if (c.dim(1) != 1 && c.strides()[1] != 1) {
    throw ShapeError(cat("matmul_into: the rows of c must be contiguous, its strides are ", c.strides()));
  }
  if (a.dtype() == DType::kF64) {
    run_gemm<double>(as_operand(a), as_operand(b), c, K, write);
  } else if (a.dtype() == DType::kF32) {
    run_gemm<float>(as_operand(a), as_operand(b), c, K, write);
  } else {  // bf16: products and sums in f32
    Tensor wide = write == Write::kAccumulate ? c.to(DType::kF32) : Tensor::empty(c.shape());
    run_gemm<float>(as_operand(a.to(DType::kF32)), as_operand(b.to(DType::kF32)), wide, K, write);
    c.copy_(wide);
  }
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_product(a, b, "matmul");
  const Shape lead_a(a.shape().begin(), a.shape().end() - 2), lead_b(b.shape().begin(), b.shape().end() - 2);
  Shape lead = broadcast_shapes(lead_a, lead_b, "matmul");
  const int64_t batch = lead.numel(), M = a.dim(-2), K = a.dim(-1), N = b.dim(-1);
  const auto full = [&](int64_t rows, int64_t cols) {
    Shape s = lead;
    s.push_back(rows);
    s.push_back(cols);
    return s;
  };
  Tensor c = Tensor::empty(full(M, N), a.dtype(), a.device());
  if (lead_b.numel() == 1 && a.is_contiguous() && lead == lead_a) {  // one matrix for all: a single tall product
    Tensor rows = c.view({batch * M, N});
    matmul_into(a.view({batch * M, K}), b.reshape({K, N}), rows);
    return c;
  }
  const Tensor as = a.expand(full(M, K)).reshape({batch, M, K}), bs = b.expand(full(K, N)).reshape({batch, K, N});
  const Tensor cs = c.view({batch, M, N});
#pragma omp parallel for schedule(static) if (batch >= omp_get_max_threads() && M * N * K < (int64_t{1} << 22))
  for (int64_t i = 0; i < batch; ++i) {
    Tensor product = cs.select(0, i);
    matmul_into(as.select(0, i), bs.select(0, i), product);
  }
  return c;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_ndim(weight, 2, "linear", "weight");
  if (x.ndim() < 1 || x.dim(-1) != weight.dim(1)) {
    throw ShapeError(cat("linear: x must end in K = ", weight.dim(1), " for weight (N, K) = ", weight.shape(), ", got ",
                         x.describe()));
  }
  const int64_t K = weight.dim(1), N = weight.dim(0), M = x.numel() / (K > 0 ? K : 1);
  Shape shape = x.shape();
  shape[shape.size() - 1] = N;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  if (bias.defined()) {
    check_shape(bias, {N}, "linear", "bias");
    y.copy_(bias);
  }
  Tensor rows = y.view({shape.numel() / (N > 0 ? N : 1), N});
  if (N > 0 && x.numel() == 0 && !bias.defined()) return y.zero_();
  if (y.numel() == 0) return y;
  matmul_into(x.reshape({M, K}), weight.transpose(0, 1), rows, bias.defined() ? Write::kAccumulate : Write::kOverwrite);
  return y;
}

}  // namespace terrace
