// The CPU's entries of the slot matrix_product: batches, epilogues and bf16 around gemm().
#include "tensor/kernels/product.h"

#include <omp.h>

#include <algorithm>

#include "tensor/device/buffer.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/pointwise.h"

namespace terrace {
namespace {

/// One matrix; `bias` or null goes with Write::kOverwrite.
void multiply_one(const GemmShape& s, const float* a, const float* b, float* c, Write write, const float* bias) {
  gemm(s, a, b, c, write, bias);
}
void multiply_one(const GemmShape& s, const double* a, const double* b, double* c, Write write, const double* bias) {
  if (bias != nullptr) {
    for (int64_t m = 0; m < s.M; ++m) { std::copy_n(bias, s.N, c + m * s.ldc); }
    write = Write::kAccumulate;
  }
  gemm(s, a, b, c, write);
}

template <class T>
void multiply_batches(const Product<T>& p) {
  const auto one = [&p](int64_t i) {
    multiply_one(p.shape, p.a + i * p.step_a, p.b + i * p.step_b, p.c + i * p.step_c, p.write, p.bias);
  };
  // Many small products are computed by one thread each. A parallel region of a single thread must not surround the
  // library's own: OpenMP would start and end threads at every call.
  constexpr int64_t kSmall = int64_t{1} << 22;
  const bool thread_each =
      p.batch > 1 && p.batch >= omp_get_max_threads() && p.shape.M * p.shape.N * p.shape.K < kSmall;
  if (!thread_each) {
    for (int64_t i = 0; i < p.batch; ++i) { one(i); }
    return;
  }
  check_openblas_extents(p.shape);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p.batch; ++i) { one(i); }
}

template <class T>
void multiply(const Product<T>& p) {
  const int64_t count = p.shape.M * p.shape.N;
  if (p.epilogue == Epilogue::kBiasGelu) {
    const Buffer<T> scratch(p.pre_activation == nullptr ? count : 0);
    Product<T> linear = p;
    linear.c = p.pre_activation == nullptr ? scratch.data : p.pre_activation;
    multiply_batches(linear);
    unary_forward<GeluTanh, T>(kCpu, GeluTanh{}, linear.c, p.c, count);
  } else {
    multiply_batches(p);
  }
  if (p.epilogue == Epilogue::kGeluBackward) {
    unary_backward<GeluTanh, T>(kCpu, GeluTanh{}, p.pre_activation, p.c, p.c, p.c, count);
  }
  sum_up(kCpu, p);
}

// --- bf16: converted, multiplied in f32, rounded once or not at all ------------------------------------------------

/// Elements from the first to the last one of `batch` matrices op(X) (rows, columns), whose stored rows lie `stride`
/// apart.
int64_t elements(int64_t batch, int64_t step, Transpose transpose, int64_t rows, int64_t columns, int64_t stride) {
  if (transpose == Transpose::kYes) { std::swap(rows, columns); }
  return (batch - 1) * step + (rows - 1) * stride + columns;
}

/// An f32 copy of `count` elements; none of null.
struct Widened : Buffer<float> {
  Widened(const BFloat16* from, int64_t count) : Buffer(from == nullptr ? 0 : count) {
    if (from != nullptr) { convert<BFloat16, float>(kCpu, from, data, count); }
  }
};

void round_into(const float* from, BFloat16* to, int64_t count) {
  if (to != nullptr) { convert<float, BFloat16>(kCpu, from, to, count); }
}

/// f32 copies of both operands.
struct WideOperands {
  template <class R>
  explicit WideOperands(const Product<BFloat16, R>& p)
      : a(p.a, elements(p.batch, p.step_a, p.shape.transpose_a, p.shape.M, p.shape.K, p.shape.lda)),
        b(p.b, elements(p.batch, p.step_b, p.shape.transpose_b, p.shape.K, p.shape.N, p.shape.ldb)) {}
  Widened a, b;
};

/// `p` with the copies as operands; c, bias and sums are left for the caller to set.
template <class R>
Product<float> widened(const Product<BFloat16, R>& p, const WideOperands& operands) {
  return {.shape = p.shape,
          .a = operands.a.data,
          .b = operands.b.data,
          .write = p.write,
          .batch = p.batch,
          .step_a = p.step_a,
          .step_b = p.step_b,
          .epilogue = p.epilogue};
}

/// bf16 operands, f32 results: the sums are not rounded.
void multiply_bf16_to_f32(const Product<BFloat16, float>& p) {
  const WideOperands operands(p);
  Product<float> wide = widened(p, operands);
  wide.c = p.c;
  wide.step_c = p.step_c;
  wide.bias = p.bias;
  multiply(wide);
}

void multiply_bf16(const Product<BFloat16>& p) {
  const GemmShape& s = p.shape;
  const WideOperands operands(p);
  const Widened bias(p.bias, s.N);
  const Buffer<float> c(p.batch * s.M * s.N), pre_activation(p.pre_activation == nullptr ? 0 : s.M * s.N);
  const Buffer<float> column_sums(p.column_sums == nullptr ? 0 : s.N), sums_of_a(p.sums_of_a == nullptr ? 0 : s.M);
  const auto for_rows = [&](const auto& f) {  // of c: the stored one and the packed copy
    for (int64_t i = 0; i < p.batch; ++i) {
      for (int64_t m = 0; m < s.M; ++m) { f(p.c + i * p.step_c + m * s.ldc, c.data + (i * s.M + m) * s.N); }
    }
  };
  if (p.epilogue == Epilogue::kGeluBackward) {
    convert<BFloat16, float>(kCpu, p.pre_activation, pre_activation.data, s.M * s.N);
  }
  if (p.write == Write::kAccumulate) {
    for_rows([&](const BFloat16* stored, float* copy) { convert<BFloat16, float>(kCpu, stored, copy, s.N); });
  }
  Product<float> wide = widened(p, operands);
  wide.shape.ldc = s.N;
  wide.c = c.data;
  wide.step_c = s.M * s.N;
  wide.bias = p.bias == nullptr ? nullptr : bias.data;
  wide.pre_activation = p.pre_activation == nullptr ? nullptr : pre_activation.data;
  wide.column_sums = p.column_sums == nullptr ? nullptr : column_sums.data;
  wide.sums_of_a = p.sums_of_a == nullptr ? nullptr : sums_of_a.data;
  multiply(wide);
  for_rows([&](BFloat16* stored, const float* copy) { convert<float, BFloat16>(kCpu, copy, stored, s.N); });
  if (p.epilogue == Epilogue::kBiasGelu) { round_into(pre_activation.data, p.pre_activation, s.M * s.N); }
  round_into(column_sums.data, p.column_sums, s.N);
  round_into(sums_of_a.data, p.sums_of_a, s.M);
}

TERRACE_REGISTER(matrix_product<float>, multiply<float>);
TERRACE_REGISTER(matrix_product<double>, multiply<double>);
TERRACE_REGISTER(matrix_product<BFloat16>, multiply_bf16);
TERRACE_REGISTER_BY(matrix_product<BFloat16, float>.set(TERRACE_COLUMN, &multiply_bf16_to_f32));

}  // namespace
}  // namespace terrace
