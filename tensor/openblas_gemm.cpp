// Every call of OpenBLAS's matrix products.
#include <cblas.h>

#include "tensor/gemm.h"

namespace terrace {
namespace {

CBLAS_TRANSPOSE flag(Transpose t) { return t == Transpose::kYes ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t n) { return static_cast<blasint>(n); }

}  // namespace

void openblas_gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write) {
  cblas_sgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), narrow(s.M), narrow(s.N), narrow(s.K), 1.0f, a,
              narrow(s.lda), b, narrow(s.ldb), write == Write::kAccumulate ? 1.0f : 0.0f, c, narrow(s.ldc));
}

void openblas_gemm(const GemmShape& s, const double* a, const double* b, double* c, Write write) {
  cblas_dgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), narrow(s.M), narrow(s.N), narrow(s.K), 1.0, a,
              narrow(s.lda), b, narrow(s.ldb), write == Write::kAccumulate ? 1.0 : 0.0, c, narrow(s.ldc));
}

const char* openblas_version() { return openblas_get_config(); }

}  // namespace terrace
