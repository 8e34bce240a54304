#include "tensor/gemm.h"

#include <algorithm>

namespace terrace {
namespace {

/// On AVX2 with 2 threads ours measures within a few per cent of the faster library on large products, either way, and
/// faster on few rows (docs/benchmarks.md; build/bin/bench_matmul prints all three); it adds the bias in the same pass
/// and leaves both libraries' pools alone. On AVX-512 it is not measured yet: there the libraries divide the work.
bool prefers_ours() { return cpu_backend() == Backend::kAvx2; }

/// oneDNN's generated code where there is little to pack: few rows, a short sum, or a B that fits the caches;
/// OpenBLAS for large products, and for A transposed, the form of every weight gradient.
bool prefers_onednn(const GemmShape& s) {
  constexpr int64_t kFewRows = 128, kShortSum = 32, kCachedElements = int64_t{1} << 21;
  if (s.K <= kShortSum) return true;
  if (s.transpose_a == Transpose::kYes) return s.M * s.N * s.K < (int64_t{1} << 24);
  return s.M <= kFewRows || s.K * s.N <= kCachedElements;
}

}  // namespace

void gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write, const float* bias) {
  if (prefers_ours()) return packed_gemm(s, a, b, c, write, bias);
  if (bias != nullptr) {
    for (int64_t m = 0; m < s.M; ++m) std::copy_n(bias, s.N, c + m * s.ldc);
    write = Write::kAccumulate;
  }
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
