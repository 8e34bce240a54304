#include "tensor/kernels/gemm.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tensor/dtype.h"
#include "tensor/kernels/panel_product.h"

namespace terrace {
namespace {

using Vector = VectorOf<float>::type;
typedef float UnalignedVector __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef float Eight __attribute__((vector_size(32)));
typedef float UnalignedEight __attribute__((vector_size(32), aligned(4), may_alias));

constexpr int64_t kColumns = kPanel<float>;
static_assert(kBlockRows <= kGemmRowPanel && kColumns <= kGemmColumnPanel);

// --- Packing -----------------------------------------------------------------------------------------------------
// A panel of `width` rows of a matrix (width, depth) lies by k: packed[k * width + row]. So does a panel of columns.

Eight load_eight(const float* x) { return *reinterpret_cast<const UnalignedEight*>(x); }

Eight load_eight(const BFloat16* x) {
  typedef uint16_t Bits __attribute__((vector_size(16), aligned(2), may_alias));
  typedef uint32_t Wide __attribute__((vector_size(32)));
  const Wide wide = __builtin_convertvector(*reinterpret_cast<const Bits*>(x), Wide) << 16;
  return std::bit_cast<Eight>(wide);
}

/// The eight rows become eight columns.
[[gnu::always_inline]] inline void transpose(Eight (&x)[8]) {
  Eight t[8], u[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[2 * i + 1] = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      u[4 * i + 2 * j] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
      u[4 * i + 2 * j + 1] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    x[i] = __builtin_shufflevector(u[i], u[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
    x[4 + i] = __builtin_shufflevector(u[i], u[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// Rows `stride` apart to a panel. Eight columns are turned at a time; where the width is no multiple of eight, what a
/// store writes beyond its k is overwritten by the next (beyond the last: the workspace has room).
template <class T>
void pack_across(const T* rows, int64_t stride, int64_t count, int64_t depth, int64_t width, float* packed) {
  constexpr int64_t kGroups = std::max<int64_t>(kColumns, kBlockRows + 7) / 8;
  const int64_t groups = (width + 7) / 8;
  int64_t k = 0;
  for (; k + 8 <= depth; k += 8) {
    Eight x[kGroups][8];
    for (int64_t g = 0; g < groups; ++g) {
#pragma GCC unroll 8
      for (int64_t r = 0; r < 8; ++r) x[g][r] = load_eight(rows + std::min(8 * g + r, count - 1) * stride + k);
      transpose(x[g]);
    }
    for (int64_t i = 0; i < 8; ++i) {
      for (int64_t g = 0; g < groups; ++g) {
        *reinterpret_cast<UnalignedEight*>(packed + (k + i) * width + 8 * g) = x[g][i];
      }
    }
  }
  for (; k < depth; ++k) {
    for (int64_t r = 0; r < width; ++r) {
      packed[k * width + r] = static_cast<float>(rows[std::min(r, count - 1) * stride + k]);
    }
  }
}

/// Rows far apart come too late by the processor's own foresight: those `kPackAhead` further are asked for.
constexpr int64_t kPackAhead = 8;
template <class T>
void prefetch(const T* x, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(x + i);
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
  // C is needed at the end only: it comes from further away than the panels, meanwhile.
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
      if (target.start == Start::kResult) sum[r][v] += c[v];
      if (target.start == Start::kBias) sum[r][v] += bias[v];
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

/// As multiply, into `columns` < kColumns of C: whole vectors go to a tile beside it.
void multiply_narrow(int64_t rows, int64_t columns, int64_t depth, const float* a, const float* b, Target target) {
  alignas(64) float tile[kBlockRows * kColumns], bias[kColumns];
  const auto bytes = static_cast<size_t>(columns) * sizeof(float);
  for (int64_t r = 0; r < rows && target.start == Start::kResult; ++r) {
    std::memcpy(tile + r * kColumns, target.c + r * target.stride, bytes);
  }
  if (target.start == Start::kBias) std::memcpy(bias, target.bias, bytes);
  multiply_of(rows)(depth, a, b, {tile, kColumns, bias, target.start});
  for (int64_t r = 0; r < rows; ++r) std::memcpy(target.c + r * target.stride, tile + r * kColumns, bytes);
}

// --- The loops around it -----------------------------------------------------------------------------------------

/// n divided into parts of at most `largest`, whole units each, as evenly as can be: a short last panel would have too
/// few sums to hide the latency of one.
struct Parts {
  Parts(int64_t extent, int64_t largest, int64_t unit_size)
      : n(extent), unit(unit_size), count((extent + largest - 1) / largest) {}
  int64_t begin(int64_t i) const { return std::min(n, i * ((n + unit - 1) / unit) / count * unit); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t n, unit, count;
};

template <class B>
class Block {
 public:
  Block(const GemmShape& shape, const float* a, const B* b, const float* bias, float* c, Write write, float* workspace)
      : s_(shape), a_(a), b_(b), bias_(bias), c_(c), write_(write), rows_(workspace) {
    columns_ = workspace + (kGemmRows + kGemmRowPanel) * kGemmDepth + 64;
  }

  void run() {
    const Parts depths(s_.K, kGemmDepth, 1), blocks(s_.M, kGemmRows, kBlockRows);
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
    const Parts panels(count, kBlockRows, 1);
    if (s_.transpose_a == Transpose::kNo) {
      for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t begin = panels.begin(p), size = panels.size(p);
        pack_across(a_ + (row + begin) * s_.lda + k_, s_.lda, size, depth_, size, rows_ + begin * depth_);
      }
      return;
    }
    // The rows lie beside each other: one k of all panels at a time. Eight floats are moved for six, as in
    // pack_across, but at a panel's end, after which lies what is not to be read or written.
    int64_t begins[kGemmRows / kBlockRows + 1];
    for (int64_t p = 0; p <= panels.count; ++p) begins[p] = panels.begin(p);
    for (int64_t k = 0; k < depth_; ++k) {
      const float* x = a_ + (k_ + k) * s_.lda + row;
      prefetch(x + kPackAhead * s_.lda, count);
      for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t begin = begins[p], size = begins[p + 1] - begin;
        float* packed = rows_ + begin * depth_ + k * size;
        if ((depth_ - k) * size < (size + 7) / 8 * 8) {
          std::copy_n(x + begin, size, packed);
        } else {
          for (int64_t i = 0; i < size; i += 8)
            *reinterpret_cast<UnalignedEight*>(packed + i) = load_eight(x + begin + i);
        }
      }
    }
  }

  /// The panels of B from `column` on, a few at a time, so that rows that are far apart are read in longer pieces.
  void pack_columns_of(int64_t column, int64_t count, float* packed) {
    if (s_.transpose_b == Transpose::kYes) {
      for (int64_t c = 0; c < count; c += kColumns, packed += kColumns * depth_) {
        pack_across(b_ + (column + c) * s_.ldb + k_, s_.ldb, std::min(kColumns, count - c), depth_, kColumns, packed);
      }
      return;
    }
    for (int64_t k = 0; k < depth_; ++k, packed += kColumns) {
      const B* x = b_ + (k_ + k) * s_.ldb + column;
      prefetch(x + kPackAhead * s_.ldb, count);
      int64_t c = 0;
      for (; c + kColumns <= count; c += kColumns) {
        for (int64_t i = 0; i < kColumns; i += 8) {
          *reinterpret_cast<Eight*>(packed + c * depth_ + i) = load_eight(x + c + i);
        }
      }
      if (c == count) continue;
      float* last = packed + c * depth_;
      for (int64_t i = 0; i < kColumns; ++i) last[i] = c + i < count ? static_cast<float>(x[c + i]) : 0.0f;
    }
  }

  /// B's panels are packed when the first block of rows comes to them, and kept where another will come.
  void multiply_rows(int64_t row, int64_t count, int64_t n, int64_t columns, bool keep) {
    constexpr int64_t kGroup = 4 * kColumns;
    const Parts panels(count, kBlockRows, 1);
    for (int64_t group = 0; group < columns; group += kGroup) {
      const int64_t end = std::min(columns, group + kGroup);
      float* packed = keep ? columns_ + group * depth_ : columns_;
      if (row == 0) pack_columns_of(n + group, end - group, packed);
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
  const B* b_;
  const float* bias_;
  float* c_;
  Write write_;
  float *rows_, *columns_;  // packed
  int64_t k_ = 0, depth_ = 0;
  Start start_ = Start::kZero;
};

template <class B>
void run_block(const GemmShape& shape, const float* a, const B* b, const float* bias, float* c, Write write,
               float* workspace) {
  Block<B>(shape, a, b, bias, c, write, workspace).run();
}

TERRACE_REGISTER(gemm_block<float>, run_block<float>);
TERRACE_REGISTER(gemm_block<BFloat16>, run_block<BFloat16>);

}  // namespace
}  // namespace terrace
