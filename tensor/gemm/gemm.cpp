#include "tensor/gemm/gemm.h"

#include "tensor/kernels/gemm/linear_product.h"

namespace terrace {
namespace {

/// Whether to read the weights of a linear layer in place: for few rows, where packing the weights would cost more than
/// multiplying by them, and for sums long enough that transposing the results costs little. The bits are the same
/// either way.
bool reads_in_place(const GemmShape& s, Write write) {
  constexpr int64_t kMaxRows = 512, kMinDepth = 256;
  return s.transpose_a == Transpose::kNo && s.transpose_b == Transpose::kYes && write == Write::kOverwrite &&
         s.M <= kMaxRows && s.K >= kMinDepth;
}

}  // namespace

void gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write, const float* bias) {
  if (reads_in_place(s, write)) {
    linear_product<float>(kCpu, {s.M, s.N, s.K, s.lda, s.ldb, s.ldc, a, b, bias, c});
  } else {
    packed_gemm(s, a, b, c, write, bias);
  }
}

void gemm(const GemmShape& s, const double* a, const double* b, double* c, Write write) {
  openblas_gemm(s, a, b, c, write);
}

}  // namespace terrace
