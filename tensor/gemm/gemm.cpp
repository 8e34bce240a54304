#include "tensor/gemm/gemm.h"

#include "tensor/kernels/gemm/linear_product.h"

namespace terrace {
namespace {

/// Where reading the weights of a linear layer in place pays: few rows, so that packing the weights would cost more
/// than what is done with them, and sums long enough to pay for turning the results. The bits are the same either way.
bool reads_in_place(const GemmShape& s, Write write) {
  constexpr int64_t kMostRows = 512, kShortSum = 256;
  return s.transpose_a == Transpose::kNo && s.transpose_b == Transpose::kYes && write == Write::kOverwrite &&
         s.M <= kMostRows && s.K >= kShortSum;
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
