#include "tensor/kernels/gemm/gemm_block.h"

#include <algorithm>
#include <cstring>

#include "tensor/base/dtype.h"
#include "tensor/kernels/gemm/panel_packing.h"
#include "tensor/kernels/gemm/panel_product.h"

namespace terrace {
namespace {

using Vector = VectorOf<float>::type;
typedef float UnalignedVector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
constexpr int64_t kColumns = kPanel<float>;
static_assert(kBlockRows <= kGemmRowPanel && kColumns <= kGemmColumnPanel);

// --- Packing -----------------------------------------------------------------------------------------------------
// Panels hold the elements of one k next to each other, those of rows of A (tensor/kernels/gemm/panel_packing.h) as
// those of columns of B.

/// Hardware prefetching does not follow rows that lie more than a page apart, so packing prefetches the row this many
/// rows ahead of the one it reads.
constexpr int64_t kPackAhead = 8;
void prefetch(const float* x, int64_t count) {
  constexpr int64_t kLine = 16;
  for (int64_t i = 0; i < count; i += kLine) { __builtin_prefetch(x + i); }
}

// --- The product of two panels -----------------------------------------------------------------------------------

/// What C's block starts from.
enum class Start : uint8_t { kZero, kBias, kResult };

struct Target {
  float* c;
  int64_t stride;
  const float* bias;
  Start start;
};

/// R rows times two vectors of columns, summed in registers over the depth.
template <int R>
void multiply(int64_t depth, const float* a, const float* b, const Target& target) {
  // C is read and written after the sums only, and comes from further away than the panels: it is fetched meanwhile.
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    __builtin_prefetch(target.c + r * target.stride, 1);
    __builtin_prefetch(target.c + r * target.stride + kColumns - 1, 1);
  }
  Vector sum[R][2] = {};
  for (int64_t k = 0; k < depth; ++k, a += R, b += kColumns) {
    const Vector right[2] = {reinterpret_cast<const Vector*>(b)[0], reinterpret_cast<const Vector*>(b)[1]};
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      sum[r][0] += a[r] * right[0];
      sum[r][1] += a[r] * right[1];
    }
  }
  const UnalignedVector* bias = reinterpret_cast<const UnalignedVector*>(target.bias);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    UnalignedVector* c = reinterpret_cast<UnalignedVector*>(target.c + r * target.stride);
    for (int v = 0; v < 2; ++v) {
      if (target.start == Start::kResult) { sum[r][v] += c[v]; }
      if (target.start == Start::kBias) { sum[r][v] += bias[v]; }
      c[v] = sum[r][v];
    }
  }
}

using Multiply = void (*)(int64_t, const float*, const float*, const Target&);
template <int... R>
constexpr Multiply multiply_of(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr Multiply kRows[] = {&multiply<R + 1>...};
  return kRows[rows - 1];
}
Multiply multiply_of(int64_t rows) { return multiply_of(rows, std::make_integer_sequence<int, kBlockRows>{}); }

/// As multiply, for `columns` < kColumns of C: whole vectors are written to a tile, and its first columns copied to C.
void multiply_narrow(int64_t rows, int64_t columns, int64_t depth, const float* a, const float* b, Target target) {
  alignas(64) float tile[kBlockRows * kColumns], bias[kColumns];
  const auto bytes = static_cast<size_t>(columns) * sizeof(float);
  for (int64_t r = 0; r < rows && target.start == Start::kResult; ++r) {
    std::memcpy(tile + r * kColumns, target.c + r * target.stride, bytes);
  }
  if (target.start == Start::kBias) { std::memcpy(bias, target.bias, bytes); }
  multiply_of(rows)(depth, a, b, {tile, kColumns, bias, target.start});
  for (int64_t r = 0; r < rows; ++r) { std::memcpy(target.c + r * target.stride, tile + r * kColumns, bytes); }
}

// --- The loops around it -----------------------------------------------------------------------------------------

class Block {
 public:
  Block(const GemmShape& shape, const float* a, const float* b, const float* bias, float* c, Write write,
        float* workspace)
      : s_(shape), a_(a), b_(b), bias_(bias), c_(c), write_(write), rows_(workspace) {
    columns_ = workspace + (kGemmRows + kGemmRowPanel) * kGemmDepth + 64;
  }

  void run() {
    const EvenSplit depths(s_.K, kGemmDepth, 1), blocks(s_.M, kGemmRows, kBlockRows);
    for (int64_t n = 0; n < s_.N; n += kGemmColumns) {
      const int64_t count = std::min(kGemmColumns, s_.N - n);
      for (int64_t d = 0; d < depths.count; ++d) {
        k_ = depths.begin(d);
        depth_ = depths.size(d);
        start_ = d > 0 || write_ == Write::kAccumulate ? Start::kResult
                 : bias_ != nullptr                    ? Start::kBias
                                                       : Start::kZero;
        for (int64_t m = 0; m < blocks.count; ++m) {
          pack_rows_of(blocks.begin(m), blocks.size(m));
          multiply_rows(blocks.begin(m), blocks.size(m), n, count, blocks.count > 1);
        }
      }
    }
  }

 private:
  void pack_rows_of(int64_t row, int64_t count) {
    const EvenSplit panels(count, kBlockRows, 1);
    if (s_.transpose_a == Transpose::kNo) {
      for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t begin = panels.begin(p), size = panels.size(p);
        pack_across<kBlockRows>(a_ + (row + begin) * s_.lda + k_, s_.lda, size, depth_, rows_ + begin * depth_);
      }
      return;
    }
    // The rows' elements of one k are adjacent in memory, so one k of all panels is copied at a time. A panel of six
    // rows is copied as eight floats, as in pack_across; the last floats of a panel are copied exactly, because what
    // follows them must be neither read nor overwritten.
    int64_t begins[kGemmRows / kBlockRows + 1];
    for (int64_t p = 0; p <= panels.count; ++p) { begins[p] = panels.begin(p); }
    for (int64_t k = 0; k < depth_; ++k) {
      const float* x = a_ + (k_ + k) * s_.lda + row;
      prefetch(x + kPackAhead * s_.lda, count);
      for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t begin = begins[p], size = begins[p + 1] - begin;
        float* packed = rows_ + begin * depth_ + k * size;
        if ((depth_ - k) * size < (size + 7) / 8 * 8) {
          std::copy_n(x + begin, size, packed);
        } else {
          for (int64_t i = 0; i < size; i += 8) {
            *reinterpret_cast<UnalignedEight*>(packed + i) = load_eight(x + begin + i);
          }
        }
      }
    }
  }

  /// Packs the panels of B from `column` on, a few at a time, so that more adjacent elements of each row are read.
  void pack_columns_of(int64_t column, int64_t count, float* packed) {
    if (s_.transpose_b == Transpose::kYes) {
      for (int64_t c = 0; c < count; c += kColumns, packed += kColumns * depth_) {
        pack_lanes(b_ + (column + c) * s_.ldb + k_, s_.ldb, std::min(kColumns, count - c), depth_, kColumns, packed);
      }
      return;
    }
    for (int64_t k = 0; k < depth_; ++k, packed += kColumns) {
      const float* x = b_ + (k_ + k) * s_.ldb + column;
      prefetch(x + kPackAhead * s_.ldb, count);
      int64_t c = 0;
      for (; c + kColumns <= count; c += kColumns) {
        for (int64_t i = 0; i < kColumns; i += 8) {
          *reinterpret_cast<Eight*>(packed + c * depth_ + i) = load_eight(x + c + i);
        }
      }
      if (c == count) { continue; }
      float* last = packed + c * depth_;
      for (int64_t i = 0; i < kColumns; ++i) { last[i] = c + i < count ? static_cast<float>(x[c + i]) : 0.0f; }
    }
  }

  /// The first block of rows packs B's panels; `keep` holds them for the blocks that follow.
  void multiply_rows(int64_t row, int64_t count, int64_t n, int64_t columns, bool keep) {
    constexpr int64_t kGroup = 4 * kColumns;
    const EvenSplit panels(count, kBlockRows, 1);
    for (int64_t group = 0; group < columns; group += kGroup) {
      const int64_t end = std::min(columns, group + kGroup);
      float* packed = keep ? columns_ + group * depth_ : columns_;
      if (row == 0) { pack_columns_of(n + group, end - group, packed); }
      for (int64_t column = group; column < end; column += kColumns, packed += kColumns * depth_) {
        const int64_t width = std::min(kColumns, end - column);
        for (int64_t p = 0; p < panels.count; ++p) {
          const int64_t begin = panels.begin(p), size = panels.size(p);
          const Target target{c_ + (row + begin) * s_.ldc + n + column, s_.ldc,
                              bias_ == nullptr ? nullptr : bias_ + n + column, start_};
          if (width == kColumns) {
            multiply_of(size)(depth_, rows_ + begin * depth_, packed, target);
          } else {
            multiply_narrow(size, width, depth_, rows_ + begin * depth_, packed, target);
          }
        }
      }
    }
  }

  const GemmShape& s_;
  const float* a_;
  const float* b_;
  const float* bias_;
  float* c_;
  Write write_;
  float *rows_, *columns_;  // packed
  int64_t k_ = 0, depth_ = 0;
  Start start_ = Start::kZero;
};

void run_block(const GemmShape& shape, const float* a, const float* b, const float* bias, float* c, Write write,
               float* workspace) {
  Block(shape, a, b, bias, c, write, workspace).run();
}

TERRACE_REGISTER(gemm_block, run_block);

}  // namespace
}  // namespace terrace
