// A matrix product by its definition, which the library's are compared with.
#pragma once

#include <vector>

#include "tests/support.h"

namespace terrace {

/// a (M, K) times b (K, N), in double.
inline Tensor naive_matmul(const Tensor& a, const Tensor& b) {
  const int64_t M = a.dim(0), K = a.dim(1), N = b.dim(1);
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  std::vector<double> product(static_cast<size_t>(M * N));
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t n = 0; n < N; ++n) {
        product[static_cast<size_t>(m * N + n)] +=
            x[static_cast<size_t>(m * K + k)] * y[static_cast<size_t>(k * N + n)];
      }
    }
  }
  return Here::from(product, {M, N});
}

}  // namespace terrace
