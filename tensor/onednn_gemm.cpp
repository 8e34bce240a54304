// Every call of oneDNN's matrix products.
#include <dnnl.h>

#include <string>

#include "tensor/error.h"
#include "tensor/gemm.h"

namespace terrace {

void onednn_gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write) {
  const auto flag = [](Transpose t) { return t == Transpose::kYes ? 'T' : 'N'; };
  const dnnl_status_t status = dnnl_sgemm(flag(s.transpose_a), flag(s.transpose_b), s.M, s.N, s.K, 1.0f, a, s.lda, b,
                                          s.ldb, write == Write::kAccumulate ? 1.0f : 0.0f, c, s.ldc);
  if (status != dnnl_success) {
    throw Error(
        cat("matmul: oneDNN refused ", s.M, " x ", s.K, " x ", s.N, " (status ", static_cast<int>(status), ")"));
  }
}

const char* onednn_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = ::dnnl_version();
    return cat(v->major, ".", v->minor, ".", v->patch);
  }();
  return text.c_str();
}

}  // namespace terrace
