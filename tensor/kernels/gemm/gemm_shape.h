// The extents of a matrix product of raw row-major matrices.
#pragma once

#include <cstdint>

namespace terrace {

enum class Transpose : bool { kNo = false, kYes = true };

/// op(A) is M x K and op(B) K x N; `lda`, `ldb`, `ldc` are the lengths of stored rows.
struct GemmShape {
  Transpose transpose_a = Transpose::kNo, transpose_b = Transpose::kNo;
  int64_t M = 0, N = 0, K = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
};

}  // namespace terrace
