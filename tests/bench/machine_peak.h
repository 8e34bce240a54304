// What the machine can do at most, measured: multiply-adds, and reading memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "experiments/support/timing.h"
#include "tensor/kernel.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace terrace {

using Vector8 = float __attribute__((vector_size(32)));
using Vector16 = float __attribute__((vector_size(64)));

/// Twelve independent chains of multiply-adds, enough to fill two pipes of latency four to five. The chains must stay
/// in registers: they are unrolled, and the sum at the end keeps them alive.
template <class Vector>
[[gnu::always_inline]] inline float chains(int64_t rounds) {
  volatile float start = 0.5f;  // read once a chain: equal chains would be merged into one
  Vector s0 = Vector{} + start, s1 = Vector{} + start, s2 = Vector{} + start, s3 = Vector{} + start;
  Vector s4 = Vector{} + start, s5 = Vector{} + start, s6 = Vector{} + start, s7 = Vector{} + start;
  Vector s8 = Vector{} + start, s9 = Vector{} + start, s10 = Vector{} + start, s11 = Vector{} + start;
  const Vector a = Vector{} + start, b = Vector{} + start;
  for (int64_t i = 0; i < rounds; ++i) {
    s0 = s0 * a + b, s1 = s1 * a + b, s2 = s2 * a + b, s3 = s3 * a + b, s4 = s4 * a + b, s5 = s5 * a + b;
    s6 = s6 * a + b, s7 = s7 * a + b, s8 = s8 * a + b, s9 = s9 * a + b, s10 = s10 * a + b, s11 = s11 * a + b;
  }
  return (s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11)[0];
}
[[gnu::target("avx2,fma")]] inline float chains_avx2(int64_t rounds) { return chains<Vector8>(rounds); }
[[gnu::target("avx512f,fma")]] inline float chains_avx512(int64_t rounds) { return chains<Vector16>(rounds); }

/// Multiply-adds a second by all threads at once, as GF/s.
inline double peak_gflops() {
  constexpr int64_t kRounds = 4'000'000;
  const bool wide = cpu_backend() == Backend::kAvx512;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    volatile float sink = 0;
    const double seconds = seconds_of([&] {
#pragma omp parallel
      sink = wide ? chains_avx512(kRounds) : chains_avx2(kRounds);
    });
    best = std::max(best, 2.0 * 12 * (wide ? 16 : 8) * kRounds * threads() / seconds / 1e9);
  }
  return best;
}

/// GB/s of all threads reading an array that fits no cache.
inline double read_gbytes() {
  constexpr int64_t kCount = int64_t{64} << 20;
  const Tensor array = Tensor::zeros({kCount});
  const float* x = array.data<float>();
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    volatile float sink = 0;
    const double seconds = seconds_of([&] {
      float sum = 0;
#pragma omp parallel for simd reduction(+ : sum) schedule(static)
      for (int64_t i = 0; i < kCount; ++i) sum += x[i];
      sink = sum;
    });
    best = std::max(best, 4.0 * kCount / seconds / 1e9);
  }
  return best;
}

}  // namespace terrace
