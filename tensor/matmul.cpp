#include "tensor/matmul.h"

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

GemmShape shape_of(const Operand2d& a, const Operand2d& b, const Tensor& c, int64_t K) {
  return {a.transpose, b.transpose, c.dim(0), c.dim(1),
          K,           a.stride,    b.stride, c.dim(0) == 1 ? c.dim(1) : c.strides()[0]};
}

template <class T>
void run_gemm(const Operand2d& a, const Operand2d& b, Tensor& c, int64_t K, Write write) {
  gemm(shape_of(a, b, c, K), a.keep.data<T>(), b.keep.data<T>(), c.data<T>(), write);
}

/// Products have no slot in the kernel table: they are the CPU's, and memory of another device is not to be read.
void check_on_cpu(const Tensor& t, const char* op) {
  if (!t.device().is_cpu()) throw DeviceError(cat(op, ": no kernel for ", t.device()));
}

void check_product(const Tensor& a, const Tensor& b, const char* op) {
  check_on_cpu(a, op);
  check_on_cpu(b, op);
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

template <class T>
void run_batches(const Tensor& a, const Tensor& b, const Tensor& c) {
  const int64_t batch = c.dim(0), M = c.dim(1), N = c.dim(2), K = a.dim(2);
  const Operand2d first_a = as_operand(a.select(0, 0)), first_b = as_operand(b.select(0, 0));
  const GemmShape shape{first_a.transpose, first_b.transpose, M, N, K, first_a.stride, first_b.stride, N};
  const T *pa = a.data<T>(), *pb = b.data<T>();
  T* pc = c.data<T>();
  const int64_t step_a = a.strides()[0], step_b = b.strides()[0];
  check_openblas_extents(shape);
  // A region of one thread must not surround the library's own: OpenMP would make and end a thread for every call.
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < batch; ++i) {
    gemm(shape, pa + i * step_a, pb + i * step_b, pc + i * M * N, Write::kOverwrite);
  }
}

/// Many small products: one thread each. `a` and `b` have matrices that the libraries take as they are.
bool suits_batches(const Tensor& a, const Tensor& b, const Tensor& c) {
  constexpr int64_t kSmall = int64_t{1} << 22;
  return c.dim(0) > 1 && c.dim(0) >= threads() && c.dim(1) * c.dim(2) * a.dim(2) < kSmall && c.numel() > 0 &&
         a.dim(2) > 0 && as_operand(a.select(0, 0)).keep.shares_storage_with(a) &&
         as_operand(b.select(0, 0)).keep.shares_storage_with(b);
}

void multiply_batches(const Tensor& a, const Tensor& b, const Tensor& c) {
  if (c.dtype() == DType::kF32 && suits_batches(a, b, c)) return run_batches<float>(a, b, c);
  if (c.dtype() == DType::kF64 && suits_batches(a, b, c)) return run_batches<double>(a, b, c);
  for (int64_t i = 0; i < c.dim(0); ++i) {
    Tensor product = c.select(0, i);
    matmul_into(a.select(0, i), b.select(0, i), product);
  }
}

}  // namespace

void matmul_into(const Tensor& a, const Tensor& b, Tensor& c, Write write) {
  check_product(a, b, "matmul");
  check_ndim(a, 2, "matmul_into", "a");
  check_ndim(b, 2, "matmul_into", "b");
  check_on_cpu(c, "matmul_into");
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
  multiply_batches(a.expand(full(M, K)).reshape({batch, M, K}), b.expand(full(K, N)).reshape({batch, K, N}),
                   c.view({batch, M, N}));
  return c;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_on_cpu(x, "linear");
  check_on_cpu(weight, "linear");
  if (bias.defined()) check_on_cpu(bias, "linear");
  check_ndim(weight, 2, "linear", "weight");
  const bool stored_narrow = x.dtype() == DType::kF32 && weight.dtype() == DType::kBF16;
  if (!stored_narrow) check_dtype(weight, x.dtype(), "linear", "weight");
  const int64_t K = weight.dim(1), N = weight.dim(0);
  if (x.ndim() < 1 || x.dim(-1) != K) {
    throw ShapeError(
        cat("linear: x must end in K = ", K, " for weight (N, K) = ", weight.shape(), ", got ", x.describe()));
  }
  if (bias.defined()) {
    check_shape(bias, {N}, "linear", "bias");
    check_dtype(bias, x.dtype(), "linear", "bias");
  }
  Shape shape = x.shape();
  shape[shape.size() - 1] = 1;
  const int64_t M = shape.numel();
  shape[shape.size() - 1] = N;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  Tensor rows = y.view({M, N});
  if (x.dtype() == DType::kF32 && y.numel() > 0 && K > 0) {
    const Operand2d a = as_operand(x.reshape({M, K})), b = as_operand(weight.transpose(0, 1));
    const Tensor row = bias.defined() ? bias.contiguous() : Tensor();
    const float* added = bias.defined() ? row.data<float>() : nullptr;
    const GemmShape s = shape_of(a, b, rows, K);
    if (stored_narrow) {
      packed_gemm(s, a.keep.data<float>(), b.keep.data<BFloat16>(), rows.data<float>(), Write::kOverwrite, added);
    } else {
      gemm(s, a.keep.data<float>(), b.keep.data<float>(), rows.data<float>(), Write::kOverwrite, added);
    }
    return y;
  }
  if (bias.defined()) y.copy_(bias);
  matmul_into(x.reshape({M, K}), weight.transpose(0, 1), rows, bias.defined() ? Write::kAccumulate : Write::kOverwrite);
  return y;
}

}  // namespace terrace
