// Matrix products beside OpenBLAS and oneDNN called bare, and the share of the processor's multiply-add peak.
//
//   build/bin/bench_matmul
//
// Every shape is validated against f64 first. Then the three are timed in turn, many short rounds, and the median of
// each is printed: what disturbs the machine disturbs all three alike.
#include <dnnl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "experiments/cli/timing.h"
#include "tensor/gemm/gemm.h"
#include "tensor/matmul.h"
#include "tensor/random.h"
#include "tests/bench/machine_peak.h"

namespace terrace {
namespace {

struct Case {
  const char* name;
  int64_t M, K, N;
  Transpose transpose_b, transpose_a = Transpose::kNo;
};

constexpr Case kCases[] = {
    {"qkv, depth 16", 680, 1024, 3072, Transpose::kNo},
    {"qkv, depth 8", 620, 512, 1536, Transpose::kYes},
    {"fc1, depth 8", 620, 512, 2048, Transpose::kYes},
    {"fc2, depth 8", 620, 2048, 512, Transpose::kYes},
    {"head, depth 8", 620, 512, 4096, Transpose::kYes},
    {"adaLN, batch 4", 4, 512, 3072, Transpose::kYes},
    {"adaLN, depth 16", 2, 1024, 6144, Transpose::kYes},
    {"sampling, 32 rows", 32, 1024, 3072, Transpose::kYes},
    {"sampling, 128 rows", 128, 1024, 3072, Transpose::kYes},
    {"study's MLP", 4960, 128, 512, Transpose::kYes},
    {"dx of fc1, depth 8", 620, 2048, 512, Transpose::kNo},
    {"dx of fc2, depth 8", 620, 512, 2048, Transpose::kNo},
    {"dW of fc1, depth 8", 2048, 620, 512, Transpose::kNo, Transpose::kYes},
    {"dW of fc2, depth 8", 512, 620, 2048, Transpose::kNo, Transpose::kYes},
};

void onednn_gemm(const GemmShape& s, const float* a, const float* b, float* c) {
  const auto flag = [](Transpose t) { return t == Transpose::kYes ? 'T' : 'N'; };
  const dnnl_status_t status =
      dnnl_sgemm(flag(s.transpose_a), flag(s.transpose_b), s.M, s.N, s.K, 1.0f, a, s.lda, b, s.ldb, 0.0f, c, s.ldc);
  if (status != dnnl_success) {
    throw Error(
        cat("matmul: oneDNN refused ", s.M, " x ", s.K, " x ", s.N, " (status ", static_cast<int>(status), ")"));
  }
}

/// Largest error of c = a op(b) over sampled elements, relative to the largest sampled value.
double error_of(const Case& c, const Tensor& a, const Tensor& b, const Tensor& y) {
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const int64_t row = i * 7919 % c.M, col = i * 104729 % c.N;
    double expected = 0;
    for (int64_t k = 0; k < c.K; ++k) {
      const float weight =
          c.transpose_b == Transpose::kYes ? b.data<float>()[col * c.K + k] : b.data<float>()[k * c.N + col];
      const float left =
          c.transpose_a == Transpose::kYes ? a.data<float>()[k * c.M + row] : a.data<float>()[row * c.K + k];
      expected += static_cast<double>(left) * static_cast<double>(weight);
    }
    worst = std::max(worst, std::fabs(expected - static_cast<double>(y.data<float>()[row * c.N + col])));
    largest = std::max(largest, std::fabs(expected));
  }
  return worst / largest;
}

bool run_case(const Case& c, double peak) {
  Generator g(1);
  const Tensor a = c.transpose_a == Transpose::kYes ? randn({c.K, c.M}, g) : randn({c.M, c.K}, g);
  const Tensor a_view = c.transpose_a == Transpose::kYes ? a.transpose(0, 1) : a;
  const Tensor b = c.transpose_b == Transpose::kYes ? randn({c.N, c.K}, g) : randn({c.K, c.N}, g);
  const Tensor b_view = c.transpose_b == Transpose::kYes ? b.transpose(0, 1) : b;
  Tensor ours = Tensor::empty({c.M, c.N}), theirs = Tensor::empty({c.M, c.N});
  const GemmShape shape{c.transpose_a,
                        c.transpose_b,
                        c.M,
                        c.N,
                        c.K,
                        c.transpose_a == Transpose::kYes ? c.M : c.K,
                        c.transpose_b == Transpose::kYes ? c.K : c.N,
                        c.N};
  const std::function<void()> runs[3] = {
      [&] { matmul_into(a_view, b_view, ours); },
      [&] { openblas_gemm(shape, a.data<float>(), b.data<float>(), theirs.data<float>(), Write::kOverwrite); },
      [&] { onednn_gemm(shape, a.data<float>(), b.data<float>(), theirs.data<float>()); }};
  for (const auto& run : runs) { run(); }
  const double error = error_of(c, a, b, ours);
  // eps * sqrt(K), with room for the order of summation
  const double allowed = 4 * 6e-8 * std::sqrt(static_cast<double>(c.K));
  if (!(error <= allowed)) {
    std::printf("%-20s WRONG: error %.2g, allowed %.2g\n", c.name, error, allowed);
    return false;
  }
  const double flops = 2.0 * static_cast<double>(c.M * c.K * c.N);
  const int inner = static_cast<int>(std::max(1.0, 2e8 / flops));  // short products are timed in groups
  std::vector<double> times[3];
  for (int round = 0; round < 41; ++round) {
    for (int k = 0; k < 3; ++k) {
      times[k].push_back(seconds_of([&] {
                           for (int i = 0; i < inner; ++i) { runs[k](); }
                         }) /
                         inner);
    }
  }
  const double t[3] = {median(times[0]), median(times[1]), median(times[2])};
  const auto rate = [&](double seconds) { return flops / seconds / 1e9; };
  std::printf(
      "%-20s %5ldx%5ldx%5ld  %8.3f ms  %6.1f GF/s  %4.0f %% of peak | OpenBLAS %6.1f  oneDNN %6.1f | %.3f of the "
      "faster\n",
      c.name, static_cast<long>(c.M), static_cast<long>(c.K), static_cast<long>(c.N), t[0] * 1e3, rate(t[0]),
      100 * rate(t[0]) / peak, rate(t[1]), rate(t[2]), std::min(t[1], t[2]) / t[0]);
  return true;
}

int run() {
  set_threads(0);
  const double peak = peak_gflops();
  std::printf("matmul, f32, MxKxN; %s, %s, %d threads; multiply-add peak measured: %.0f GF/s\n", cpu_model().c_str(),
              name_of(cpu_backend()), threads(), peak);
  const dnnl_version_t& onednn = *dnnl_version();
  std::printf("OpenBLAS: %s; oneDNN: %d.%d.%d\n", openblas_version(), onednn.major, onednn.minor, onednn.patch);
  bool right = true;
  for (const Case& c : kCases) { right = run_case(c, peak) && right; }
  return right ? 0 : 1;
}

}  // namespace
}  // namespace terrace

int main() { return terrace::run(); }
