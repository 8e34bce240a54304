// Small matrix products whose operands are in the caches already: C = A B over register blocks, without the packing
// and the threads of a library's GEMM. For the .cpp files of tensor/kernels/ only, whose instruction set it is compiled
// for.
#pragma once

#include <cstdint>
#include <utility>

#include "tensor/device/kernel.h"

namespace terrace {
namespace {

#ifdef __AVX512F__
inline constexpr int kVectorBytes = 64;
inline constexpr int kBlockRows = 12;  // 24 accumulators of 32 registers
#else
inline constexpr int kVectorBytes = 32;
inline constexpr int kBlockRows = 6;  // 12 accumulators of 16 registers
#endif

template <class A>
struct VectorOf {
  typedef A type __attribute__((vector_size(kVectorBytes), may_alias));
};
template <class A>
inline constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(A));
template <class A>
inline constexpr int64_t kPanel = 2 * kLanes<A>;  // columns of a panel

struct ProductExtents {
  int64_t rows, columns, depth;
};

/// A's element (row, k) is data[row * row_stride + k * step].
template <class A>
struct LeftOperand {
  const A* data;
  int64_t row_stride, step;
};

/// B by panels of kPanel columns: element (k, column) is data[(column / kPanel * depth + k) * kPanel + column %
/// kPanel]. `depth` is the rows that were packed; a product may read fewer.
template <class A>
struct PackedOperand {
  const A* data;
  int64_t depth;
};

/// Packs B = rows (n x D, `stride` apart) for products over n; columns beyond D up to the panel's end must be readable.
template <class A>
void pack_rows(const A* rows, int64_t stride, int64_t n, int64_t D, A* packed) {
  for (int64_t column = 0; column < D; column += kPanel<A>) {
    for (int64_t i = 0; i < n; ++i, packed += kPanel<A>) {
      for (int64_t c = 0; c < kPanel<A>; ++c) { packed[c] = rows[i * stride + column + c]; }
    }
  }
}

/// Packs B = the transpose of rows (n x D), for products over D whose columns are the rows. The last panel is padded
/// with zeros.
template <class A>
void pack_columns(const A* rows, int64_t stride, int64_t n, int64_t D, A* packed) {
  for (int64_t begin = 0; begin < n; begin += kPanel<A>) {
    const int64_t count = n - begin < kPanel<A> ? n - begin : kPanel<A>;
    const A* source = rows + begin * stride;
    for (int64_t d = 0; d < D; ++d, packed += kPanel<A>) {
      for (int64_t c = 0; c < count; ++c) { packed[c] = source[c * stride + d]; }
      for (int64_t c = count; c < kPanel<A>; ++c) { packed[c] = 0; }
    }
  }
}

/// R rows times V vectors of columns, held in registers over the whole depth.
template <class A, int R, int V>
void product_block(int64_t depth, const A* a, int64_t a_row, int64_t a_step, const A* b, A* c, int64_t c_row,
                   Write write) {
  using Vector = typename VectorOf<A>::type;
  Vector sum[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      sum[r][v] = write == Write::kAccumulate ? reinterpret_cast<const Vector*>(c + r * c_row)[v] : Vector{};
    }
  }
  for (int64_t k = 0; k < depth; ++k, a += a_step, b += kPanel<A>) {
    Vector right[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) { right[v] = reinterpret_cast<const Vector*>(b)[v]; }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) { sum[r][v] += a[r * a_row] * right[v]; }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) { reinterpret_cast<Vector*>(c + r * c_row)[v] = sum[r][v]; }
  }
}

template <class A>
using ProductBlock = void (*)(int64_t, const A*, int64_t, int64_t, const A*, A*, int64_t, Write);

/// kBlocks<A, V>[R] is product_block<A, R, V>.
template <class A, int V, int... R>
constexpr ProductBlock<A> block_of(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr ProductBlock<A> kBlocks[] = {&product_block<A, R + 1, V>...};
  return kBlocks[rows - 1];
}

/// c (rows x columns, `c_row` apart) = [c +] a b. Writes whole vectors: up to kPanel - 1 columns beyond the last are
/// overwritten too. b and c are aligned to vectors.
template <class A>
void panel_product(const ProductExtents& extents, const LeftOperand<A>& a, const PackedOperand<A>& b, A* c,
                   int64_t c_row, Write write) {
  constexpr auto kSequence = std::make_integer_sequence<int, kBlockRows>{};
  const int64_t blocks = (extents.rows + kBlockRows - 1) / kBlockRows;
  for (int64_t column = 0; column < extents.columns; column += kPanel<A>) {
    const A* panel = b.data + column * b.depth;
    const bool whole = extents.columns - column > kLanes<A>;
    int64_t row = 0;
    for (int64_t block = 0; block < blocks;
         ++block) {  // rows are divided evenly: a short last block would be bound by latency
      const int64_t count = (extents.rows - row + blocks - block - 1) / (blocks - block);
      const ProductBlock<A> run = whole ? block_of<A, 2>(count, kSequence) : block_of<A, 1>(count, kSequence);
      run(extents.depth, a.data + row * a.row_stride, a.row_stride, a.step, panel, c + row * c_row + column, c_row,
          write);
      row += count;
    }
  }
}

}  // namespace
}  // namespace terrace
