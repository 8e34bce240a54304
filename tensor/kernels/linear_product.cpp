#include "tensor/kernels/linear_product.h"

#include <omp.h>

#include <cstring>
#include <utility>

#include "tensor/kernels/buffer.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/panel_packing.h"
#include "tensor/kernels/panel_product.h"
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace terrace {
namespace {

using Vector = VectorOf<float>::type;

// A block of C in registers: kRows of W by up to kMostVectors of lanes. Six rows of W lie in six lines of the first
// cache, which may all fall into one set of eight: more would drive each other out. Blocks of kBlockColumns rows of W
// by kGemmDepth stay in the second cache, beside a panel of x.
constexpr int kRows = 6, kMostVectors = kVectorBytes == 64 ? 4 : 2;
constexpr int64_t kPanelLanes = kMostVectors * kLanes<float>;
constexpr int64_t kBlockColumns = 72;
constexpr int64_t kRowsAtATime = 512;  // of x

// --- The product of some rows of W and a panel ----------------------------------------------------------------------

/// Where sums go: rows of W, the lanes of a panel beside each other. `bias` (of the rows) is what the first block of K
/// starts from; null: what is there.
struct Target {
  float* sums;
  int64_t stride;
  const float* bias;
};

template <int R, int V>
[[gnu::always_inline]] inline void add_to(const Target& target, const Vector (&sum)[R][V]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    auto* out = reinterpret_cast<Vector*>(target.sums + r * target.stride);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) out[v] = sum[r][v] + (target.bias != nullptr ? Vector{} + target.bias[r] : out[v]);
  }
}

/// One k at a time, in f32.
struct ByOne {
  using Weight = float;
  using Lane = float;  // of a panel, a k
  static constexpr int64_t kStep = 1;
  static constexpr int64_t kMostApart = 0, kApartRows = 1;

  static void pack(const float* rows, int64_t stride, int64_t count, int64_t depth, int64_t width, Lane* packed) {
    pack_lanes(rows, stride, count, depth, width, packed);
  }

  template <int R, int V>
  static void multiply(int64_t depth, const float* w, int64_t stride, const Lane* panel, const Target& target) {
    Vector sum[R][V] = {};
    for (int64_t k = 0; k < depth; ++k, panel += V * kLanes<float>) {
      Vector right[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) right[v] = reinterpret_cast<const Vector*>(panel)[v];
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[r][v] += w[r * stride + k] * right[v];
      }
    }
    add_to<R, V>(target, sum);
  }
};

#ifdef __AVX512F__
/// A pair of k at a time: its two bf16 of a row of x are one lane.
struct ByPair {
  using Weight = BFloat16;
  using Lane = uint32_t;
  static constexpr int64_t kStep = 2;
  static constexpr int64_t kMostApart = 8, kApartRows = 3;  // rows of x, and of W that are taken with them

  typedef uint32_t Pairs __attribute__((vector_size(64), may_alias));

  /// Sixteen floats as bf16, each in the lower half of its lane.
  [[gnu::target("avx512bf16")]] static Pairs rounded(const float* x) {
    typedef uint16_t Halves __attribute__((vector_size(32)));
    return __builtin_convertvector(reinterpret_cast<Halves>(_mm512_cvtneps_pbh(_mm512_load_ps(x))), Pairs);
  }

  [[gnu::target("avx512bf16")]] static void pack(const float* rows, int64_t stride, int64_t count, int64_t depth,
                                                 int64_t width, Lane* packed) {
    constexpr int64_t kAtATime = 16;
    alignas(64) float wide[kAtATime * kPanelLanes];
    for (int64_t k = 0; k < depth; k += kAtATime) {
      const int64_t some = std::min(kAtATime, depth - k);
      pack_lanes(rows + k, stride, count, some, width, wide);
      for (int64_t pair = 0; pair < some; pair += 2, packed += width) {
        for (int64_t lane = 0; lane < width; lane += 16) {
          const float* at = wide + pair * width + lane;
          *reinterpret_cast<Pairs*>(packed + lane) = rounded(at) | rounded(at + width) << 16;
        }
      }
    }
  }

  template <int R, int V>
  [[gnu::target("avx512bf16")]] static void multiply(int64_t depth, const BFloat16* w, int64_t stride,
                                                     const Lane* panel, const Target& target) {
    typedef int32_t Pair __attribute__((aligned(2), may_alias));
    constexpr int64_t kLine = 32;  // of W
    Vector sum[R][V] = {};
    for (int64_t begin = 0; begin < depth; begin += kLine) {
      for (int r = 0; r < R; ++r) __builtin_prefetch(w + (R + r) * stride + begin);
      const int64_t end = std::min(begin + kLine, depth);
      for (int64_t k = begin; k < end; k += 2, panel += V * 16) {
        __m512bh right[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) right[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(panel + v * 16));
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
          const auto left =
              reinterpret_cast<__m512bh>(_mm512_set1_epi32(*reinterpret_cast<const Pair*>(w + r * stride + k)));
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], left, right[v]);
        }
      }
    }
    add_to<R, V>(target, sum);
  }

  /// A row of x, rounded; zeros up to whole vectors of 32.
  [[gnu::target("avx512bf16")]] static void round_row(const float* x, int64_t depth, BFloat16* rounded_row) {
    int64_t k = 0;
    for (; k + 16 <= depth; k += 16) {
      reinterpret_cast<__m256bh*>(rounded_row + k)[0] = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + k));
    }
    for (; k < depth; ++k) rounded_row[k] = BFloat16(x[k]);
    for (; k % 32 != 0; ++k) rounded_row[k] = BFloat16(0.0f);
  }

  /// Of a vector's elements, by halves.
  [[gnu::always_inline]] static inline float total(Vector x) {
    typedef float Four __attribute__((vector_size(16)));
    const Eight eight = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const Four four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
  }

  /// 32 k, those of the mask.
  template <int R, int T>
  [[gnu::target("avx512bf16"), gnu::always_inline]] static inline void add_apart(__mmask32 mask, const BFloat16* w,
                                                                                 int64_t stride, const BFloat16* x,
                                                                                 int64_t x_stride,
                                                                                 Vector (&sum)[R][T]) {
    __m512bh right[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) right[t] = reinterpret_cast<__m512bh>(_mm512_load_si512(x + t * x_stride));
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      __builtin_prefetch(w + (R + r) * stride);
      const auto left = reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(mask, w + r * stride));
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) sum[r][t] = _mm512_dpbf16_ps(sum[r][t], left, right[t]);
    }
  }

  /// sums[r * sums_stride + t] = the product of rows r of W and t of x, 32 k of both at a time. x is of round_row(),
  /// `x_stride` apart.
  template <int R, int T>
  [[gnu::target("avx512bf16")]] static void multiply_apart(int64_t depth, const BFloat16* w, int64_t stride,
                                                           const BFloat16* x, int64_t x_stride, float* sums,
                                                           int64_t sums_stride) {
    Vector sum[R][T] = {};
    int64_t k = 0;
    for (; k + 32 <= depth; k += 32) add_apart<R, T>(~__mmask32{0}, w + k, stride, x + k, x_stride, sum);
    if (k < depth) add_apart<R, T>((__mmask32{1} << (depth - k)) - 1, w + k, stride, x + k, x_stride, sum);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) sums[r * sums_stride + t] = total(sum[r][t]);
    }
  }
};
#endif

template <class Way>
using MultiplyApart = void (*)(int64_t, const typename Way::Weight*, int64_t, const typename Way::Weight*, int64_t,
                               float*, int64_t);

template <class Way, int R, int... T>
constexpr MultiplyApart<Way> multiply_apart_of(int64_t rows_of_x, std::integer_sequence<int, T...>) {
  constexpr MultiplyApart<Way> kCounts[] = {&Way::template multiply_apart<R, T + 1>...};
  return kCounts[rows_of_x - 1];
}

template <class Way>
MultiplyApart<Way> multiply_apart_of(int64_t rows, int64_t rows_of_x) {
  constexpr auto kCounts = std::make_integer_sequence<int, Way::kMostApart>{};
  if (rows == 3) return multiply_apart_of<Way, 3>(rows_of_x, kCounts);
  return rows == 2 ? multiply_apart_of<Way, 2>(rows_of_x, kCounts) : multiply_apart_of<Way, 1>(rows_of_x, kCounts);
}

template <class Way>
using Multiply = void (*)(int64_t, const typename Way::Weight*, int64_t, const typename Way::Lane*, const Target&);

template <class Way, int V, int... R>
constexpr Multiply<Way> multiply_of(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr Multiply<Way> kRowCounts[] = {&Way::template multiply<R + 1, V>...};
  return kRowCounts[rows - 1];
}

template <class Way>
Multiply<Way> multiply_of(int64_t rows, int64_t vectors) {
  constexpr auto kCounts = std::make_integer_sequence<int, kRows>{};
  if constexpr (kMostVectors == 4) {
    if (vectors == 4) return multiply_of<Way, 4>(rows, kCounts);
    if (vectors == 3) return multiply_of<Way, 3>(rows, kCounts);
  }
  return vectors == 2 ? multiply_of<Way, 2>(rows, kCounts) : multiply_of<Way, 1>(rows, kCounts);
}

// --- The loops around it --------------------------------------------------------------------------------------------

/// Some rows of x, as panels, and all of W. Widened: W is stored in bf16 and made f32 a block at a time.
template <class Way, class W>
class Job {
  using Lane = typename Way::Lane;
  static constexpr bool kWidened = !std::is_same_v<W, typename Way::Weight>;
  static constexpr int64_t kWidenedStride = kGemmDepth + 16;  // rows a power of two apart would share a set

 public:
  Job(const LinearProduct<W>& product, int64_t first, int64_t count, int64_t threads)
      : p_(product),
        x_(product.x + first * product.ldx),
        y_(product.y + first * product.ldy),
        count_(count),
        apart_(count % kLanes<float> <= Way::kMostApart ? count % kLanes<float> : 0),
        vectors_((count - apart_ + kLanes<float> - 1) / kLanes<float>, kMostVectors, 1),
        sums_stride_(vectors_.n * kLanes<float> + kLanes<float>),
        apart_stride_((product.K + 31) / 32 * 32),
        depths_(product.K / Way::kStep, kGemmDepth / Way::kStep, 1),
        columns_(product.N, columns_of_block(product.N, threads), kRows) {}

  /// Lanes of all panels (and of rows apart, after them), and of working memory that one thread needs.
  int64_t panel_lanes() const { return whole_panels() + apart_ * apart_stride_ / Way::kStep; }
  int64_t scratch() const { return kBlockColumns * (sums_stride_ + (kWidened ? kWidenedStride : 0)); }

  /// All threads that share the job call these in turn, the second when every panel is packed.
  int64_t packings() const { return vectors_.count * depths_.count + apart_; }
  void pack(int64_t i, Lane* panels) const {
    if constexpr (Way::kMostApart > 0) {
      if (i < apart_) {
        auto* const rows = reinterpret_cast<typename Way::Weight*>(panels + whole_panels());
        Way::round_row(x_ + (count_ - apart_ + i) * p_.ldx, p_.K, rows + i * apart_stride_);
        return;
      }
    }
    i -= apart_;
    const int64_t panel = i / depths_.count, depth = i % depths_.count;
    const int64_t lane = vectors_.begin(panel) * kLanes<float>, width = vectors_.size(panel) * kLanes<float>;
    const int64_t k = depths_.begin(depth);
    Way::pack(x_ + lane * p_.ldx + k * Way::kStep, p_.ldx, std::min(count_ - apart_ - lane, width),
              depths_.size(depth) * Way::kStep, width, panels + lane * depths_.n + k * width);
  }
  int64_t blocks() const { return columns_.count; }
  void multiply(int64_t i, const Lane* panels, float* scratch) const {
    const int64_t begin = columns_.begin(i), size = columns_.size(i);
    for (int64_t d = 0; d < depths_.count && vectors_.n > 0; ++d) multiply_depth(begin, size, d, panels, scratch);
    if constexpr (Way::kMostApart > 0) multiply_apart(begin, size, panels, scratch + count_ - apart_);
    store(begin, size, scratch);
  }

 private:
  int64_t whole_panels() const { return vectors_.n * kLanes<float> * depths_.n; }

  /// Several blocks for each thread, equally many: threads are seldom equally fast.
  static int64_t columns_of_block(int64_t N, int64_t threads) {
    constexpr int64_t kBlocksOfThread = 8, kFewestColumns = 4 * kRows;
    const int64_t wanted = N / (kBlocksOfThread * threads);
    const int64_t columns = std::clamp(wanted, kFewestColumns, kBlockColumns);
    const int64_t blocks = (N + columns * threads - 1) / (columns * threads) * threads;
    return (N + blocks - 1) / blocks;
  }

  void multiply_depth(int64_t begin, int64_t size, int64_t d, const Lane* panels, float* sums) const {
    const int64_t k = depths_.begin(d), depth = depths_.size(d) * Way::kStep;
    const int64_t stride = kWidened ? kWidenedStride : p_.ldw;
    const typename Way::Weight* weight;
    if constexpr (kWidened) {
      float* wide = sums + kBlockColumns * sums_stride_;
      for (int64_t n = 0; n < size; ++n) {
        widen(p_.weight + (begin + n) * p_.ldw + k * Way::kStep, depth, wide + n * kWidenedStride);
      }
      weight = wide;
    } else {
      weight = p_.weight + begin * p_.ldw + k * Way::kStep;
    }
    alignas(64) float bias[kBlockColumns] = {};
    if (p_.bias != nullptr) std::copy_n(p_.bias + begin, size, bias);
    for (int64_t panel = 0; panel < vectors_.count; ++panel) {
      const int64_t lane = vectors_.begin(panel) * kLanes<float>, width = vectors_.size(panel) * kLanes<float>;
      for (int64_t n = 0; n < size; n += kRows) {
        const Target target{sums + n * sums_stride_ + lane, sums_stride_, d == 0 ? bias + n : nullptr};
        multiply_of<Way>(std::min<int64_t>(kRows, size - n), vectors_.size(panel))(
            depth, weight + n * stride, stride, panels + lane * depths_.n + k * width, target);
      }
    }
  }

  /// The last rows of x, where they would leave half of a vector's lanes empty or more.
  void multiply_apart(int64_t begin, int64_t size, const Lane* panels, float* sums) const {
    const auto* rows = reinterpret_cast<const typename Way::Weight*>(panels + whole_panels());
    for (int64_t n = 0; n < size && apart_ > 0; n += Way::kApartRows) {
      const int64_t some = std::min(Way::kApartRows, size - n);
      float* const out = sums + n * sums_stride_;
      multiply_apart_of<Way>(some, apart_)(p_.K, p_.weight + (begin + n) * p_.ldw, p_.ldw, rows, apart_stride_, out,
                                           sums_stride_);
      if (p_.bias == nullptr) continue;
      for (int64_t r = 0; r < some; ++r) {
        for (int64_t t = 0; t < apart_; ++t) out[r * sums_stride_ + t] += p_.bias[begin + n + r];
      }
    }
  }

  static void widen(const BFloat16* from, int64_t count, float* to) {
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) store_eight(to + k, load_eight(from + k));
    for (; k < count; ++k) to[k] = static_cast<float>(from[k]);
  }

  /// y's columns [begin, begin + size) from their sums, turned.
  void store(int64_t begin, int64_t size, const float* sums) const {
    for (int64_t m = 0; m < count_; m += 8) {
      const int64_t rows = std::min<int64_t>(8, count_ - m);
      float* out = y_ + m * p_.ldy + begin;
      int64_t n = 0;
      for (; n + 8 <= size; n += 8) {
        Eight x[8];
        for (int64_t i = 0; i < 8; ++i) x[i] = load_eight(sums + (n + i) * sums_stride_ + m);
        transpose(x);
        for (int64_t i = 0; i < rows; ++i) store_eight(out + i * p_.ldy + n, x[i]);
      }
      for (; n < size; ++n) {
        for (int64_t i = 0; i < rows; ++i) out[i * p_.ldy + n] = sums[n * sums_stride_ + m + i];
      }
    }
  }

  const LinearProduct<W>& p_;
  const float* x_;
  float* y_;
  int64_t count_, apart_;  // the last `apart_` rows are summed each by itself
  Parts vectors_;
  int64_t sums_stride_;  // a vector more than the lanes: rows a power of two apart would share a set
  int64_t apart_stride_;
  Parts depths_, columns_;
};

template <class Way, class W>
void run(const LinearProduct<W>& p) {
  constexpr int64_t kSmall = int64_t{1} << 16;  // multiply-adds below which a second thread does not pay
  const int threads = omp_in_parallel() || p.M * p.N * p.K < kSmall ? 1 : omp_get_max_threads();
  for (int64_t first = 0; first < p.M; first += kRowsAtATime) {
    const Job<Way, W> job(p, first, std::min(kRowsAtATime, p.M - first), threads);
    const Buffer<typename Way::Lane> panels(job.panel_lanes());
    const Buffer<float> scratch(threads * job.scratch());
    if (threads == 1) {
      for (int64_t i = 0; i < job.packings(); ++i) job.pack(i, panels.data);
      for (int64_t i = 0; i < job.blocks(); ++i) job.multiply(i, panels.data, scratch.data);
      continue;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < job.packings(); ++i) job.pack(i, panels.data);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < job.blocks(); ++i) {
        job.multiply(i, panels.data, scratch.data + omp_get_thread_num() * job.scratch());
      }
    }
  }
}

TERRACE_REGISTER(linear_product<float>, run<ByOne, float>);
TERRACE_REGISTER(linear_product<BFloat16>, run<ByOne, BFloat16>);
#ifdef __AVX512F__
TERRACE_REGISTER(linear_product_bf16, run<ByPair, BFloat16>);
#endif

}  // namespace
}  // namespace terrace
