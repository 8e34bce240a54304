// What the machine can do at most, measured: multiply-adds, and reading memory.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "experiments/cli/timing.h"
#include "tensor/device/kernel.h"
#include "tensor/device/parallel.h"
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

/// GF/s of all threads at once, of rounds of `flops` each.
inline double best_rate(double flops, float (*run)(int64_t)) {
  constexpr int64_t kRounds = 4'000'000;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    volatile float sink = 0;
    const double seconds = seconds_of([&] {
#pragma omp parallel
      sink = run(kRounds);
    });
    best = std::max(best, flops * kRounds * threads() / seconds / 1e9);
  }
  return best;
}

/// Multiply-adds a second, as GF/s.
inline double peak_gflops() {
  const bool wide = cpu_backend() == Backend::kAvx512;
  return best_rate(2.0 * 12 * (wide ? 16 : 8), wide ? chains_avx512 : chains_avx2);
}

[[gnu::target("avx512bf16")]] inline float chains_bf16(int64_t rounds) {
  volatile float start = 0.5f;
  const __m512 half = Vector16{} + start;
  const auto a = reinterpret_cast<__m512bh>(half);
  __m512 s[12];
  for (auto& each : s) { each = Vector16{} + start; }
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (auto& each : s) { each = _mm512_dpbf16_ps(each, a, a); }
  }
  Vector16 sum{};
  for (const auto& each : s) { sum += each; }
  return sum[0];
}

/// As peak_gflops, of pairs of bf16; 0 where the processor has no such instruction.
inline double peak_bf16_gflops() {
  if (!has_bf16_products()) { return 0; }
  return best_rate(2.0 * 12 * 32, chains_bf16);
}

/// GB/s of all threads reading an array that fits no cache.
inline double read_gbytes() {
  constexpr int64_t kCount = int64_t{64} << 20;
  const Tensor array = Tensor::full({kCount}, 1.0);
  const float* x = array.data<float>();
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    volatile float sink = 0;
    const double seconds = seconds_of([&] {
      float sum = 0;
#pragma omp parallel for reduction(+ : sum) schedule(static)
      for (int64_t i = 0; i < kCount; i += 64) {  // eight chains: one would wait for itself, not for memory
        Vector8 part = *reinterpret_cast<const Vector8*>(x + i);
        for (int64_t j = 8; j < 64; j += 8) part += *reinterpret_cast<const Vector8*>(x + i + j);
        sum += part[0];
      }
      sink = sum;
    });
    best = std::max(best, 4.0 * kCount / seconds / 1e9);
  }
  return best;
}

}  // namespace terrace
