// Every call of OpenBLAS's matrix products.
#include <cblas.h>

#include <algorithm>
#include <limits>

#include "tensor/gemm/gemm.h"

namespace terrace {
namespace {

CBLAS_TRANSPOSE flag(Transpose t) { return t == Transpose::kYes ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t n) { return static_cast<blasint>(n); }

}  // namespace

void check_openblas_extents(const GemmShape& s) {
  const int64_t largest = std::max({s.M, s.N, s.K, s.lda, s.ldb, s.ldc});
  if (largest > std::numeric_limits<blasint>::max()) {
    throw ShapeError(cat("matmul: extents and row lengths must be below 2^31, got M ", s.M, ", N ", s.N, ", K ", s.K,
                         " with rows of ", s.lda, ", ", s.ldb, " and ", s.ldc));
  }
}

void openblas_gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write) {
  check_openblas_extents(s);
  cblas_sgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), narrow(s.M), narrow(s.N), narrow(s.K), 1.0f, a,
              narrow(s.lda), b, narrow(s.ldb), write == Write::kAccumulate ? 1.0f : 0.0f, c, narrow(s.ldc));
}

void openblas_gemm(const GemmShape& s, const double* a, const double* b, double* c, Write write) {
  check_openblas_extents(s);
  cblas_dgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), narrow(s.M), narrow(s.N), narrow(s.K), 1.0, a,
              narrow(s.lda), b, narrow(s.ldb), write == Write::kAccumulate ? 1.0 : 0.0, c, narrow(s.ldc));
}

const char* openblas_version() { return openblas_get_config(); }

}  // namespace terrace
