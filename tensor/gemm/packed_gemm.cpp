// Divides a product among the threads: each computes a rectangle of C with panels that it packs itself.
#include <omp.h>

#include <algorithm>
#include <limits>

#include "tensor/device/buffer.h"
#include "tensor/device/parallel_size.h"
#include "tensor/gemm/gemm.h"
#include "tensor/kernels/gemm/gemm_block.h"

namespace terrace {
namespace {

/// Threads as a grid of rows x columns of C. Its parts begin at whole panels of every backend.
struct Grid {
  int64_t rows = 1, columns = 1;
};

int64_t share(int64_t n, int64_t unit, int64_t parts) {
  const int64_t units = (n + unit - 1) / unit;
  return (units + parts - 1) / parts * unit;
}

/// The grid whose busiest thread has the least work: its multiply-adds and the packing of its operands.
Grid best_grid(const GemmShape& s, int64_t threads) {
  constexpr double kPacking = 12;  // multiply-adds in the time of packing an element
  Grid best;
  double least_work = std::numeric_limits<double>::max();
  for (int64_t rows = 1; rows <= threads; ++rows) {
    const Grid grid{rows, threads / rows};
    const auto m = static_cast<double>(share(s.M, kGemmRowPanel, grid.rows));
    const auto n = static_cast<double>(share(s.N, kGemmColumnPanel, grid.columns));
    const double work = m * n + kPacking * (m + n);
    if (work < least_work) {
      least_work = work;
      best = grid;
    }
  }
  return best;
}

}  // namespace

void packed_gemm(const GemmShape& s, const float* a, const float* b, float* c, Write write, const float* bias) {
  const int64_t threads = omp_in_parallel() || s.M * s.N * s.K < kMinParallelProducts ? 1 : omp_get_max_threads();
  const Grid grid = best_grid(s, threads);
  const int64_t count = grid.rows * grid.columns;
  const int64_t rows = share(s.M, kGemmRowPanel, grid.rows), columns = share(s.N, kGemmColumnPanel, grid.columns);
  const Buffer<float> workspace(count * kGemmWorkspace);
  const auto multiply_part = [&](int64_t i) {
    const int64_t m = i / grid.columns * rows, n = i % grid.columns * columns;
    if (m >= s.M || n >= s.N) { return; }
    GemmShape piece = s;
    piece.M = std::min(rows, s.M - m);
    piece.N = std::min(columns, s.N - n);
    gemm_block(kCpu, piece, a + (s.transpose_a == Transpose::kYes ? m : m * s.lda),
               b + (s.transpose_b == Transpose::kYes ? n * s.ldb : n), bias == nullptr ? nullptr : bias + n,
               c + m * s.ldc + n, write, workspace.data + i * kGemmWorkspace);
  };
  if (count == 1) { return multiply_part(0); }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) { multiply_part(i); }
}

}  // namespace terrace
