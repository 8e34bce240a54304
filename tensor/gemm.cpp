#include "tensor/gemm.h"

namespace terrace {
namespace {

/// Few rows are bound by the reading of B, and small products by OpenBLAS's packing: oneDNN's generated code wins
/// there. The bounds are from `build/bin/bench_matmul` on AVX2 with 2 threads.
bool prefers_onednn(const GemmShape& s) {
  return s.M <= 32 || s.N <= 32 || s.K <= 32 || s.M * s.N * s.K < (int64_t{1} << 26);
}

}  // namespace

void gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write) {
  if (prefers_onednn(s)) {
    onednn_gemm(s, a, b, c, write);
  } else {
    openblas_gemm(s, a, b, c, write);
  }
}

void gemm(const GemmShape& s, const double* a, const double* b, double* c, Write write) {
  openblas_gemm(s, a, b, c, write);
}

}  // namespace terrace
