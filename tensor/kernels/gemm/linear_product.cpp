#include "tensor/kernels/gemm/linear_product.h"

#include <omp.h>

#include "tensor/device/buffer.h"
#include "tensor/device/parallel_size.h"
#include "tensor/kernels/gemm/gemm_block.h"
#include "tensor/kernels/gemm/lane_product.h"

namespace terrace {
namespace {

// A block of kBlockColumns rows of W by kGemmDepth stays in the L2 cache, with a panel of x.
constexpr int64_t kBlockColumns = 72;
constexpr int64_t kChunkRows = 512;  // of x, packed at a time

/// The product of a chunk of rows of x, packed as panels, and all of W. Where W is stored in bf16 and the microkernel
/// multiplies f32, each block of W is widened to f32 first.
template <class Micro, class W>
class LinearTask {
  using Lane = typename Micro::Lane;
  static constexpr bool kWidened = !std::is_same_v<W, typename Micro::Weight>;
  // Not a power of two: rows that far apart would map to one cache set.
  static constexpr int64_t kWidenedStride = kGemmDepth + 16;

 public:
  LinearTask(const LinearProduct<W>& product, int64_t first, int64_t count, int64_t threads)
      : p_(product),
        x_(product.x + first * product.ldx),
        y_(product.y + first * product.ldy),
        count_(count),
        tail_(count % kLanes<float> <= Micro::kMaxTail ? count % kLanes<float> : 0),
        vectors_((count - tail_ + kLanes<float> - 1) / kLanes<float>, kMaxVectors, 1),
        sums_stride_(vectors_.n * kLanes<float> + kLanes<float>),
        tail_stride_((product.K + 31) / 32 * 32),
        depths_(product.K / Micro::kStep, kGemmDepth / Micro::kStep, 1),
        columns_(product.N, columns_of_block(product.N, threads), kRows) {}

  /// Lanes of all panels and of the tail's rows after them; floats of working memory that one thread needs.
  int64_t panel_lanes() const { return whole_panels() + tail_ * tail_stride_ / Micro::kStep; }
  int64_t scratch() const { return kBlockColumns * (sums_stride_ + (kWidened ? kWidenedStride : 0)); }

  /// The two stages, each of independent calls that threads share: pack() for every i of packings(), and only when all
  /// panels are packed multiply() for every i of blocks().
  int64_t packings() const { return vectors_.count * depths_.count + tail_; }
  void pack(int64_t i, Lane* panels) const {
    if constexpr (Micro::kMaxTail > 0) {
      if (i < tail_) {
        auto* const rows = reinterpret_cast<typename Micro::Weight*>(panels + whole_panels());
        Micro::round_row(x_ + (count_ - tail_ + i) * p_.ldx, p_.K, rows + i * tail_stride_);
        return;
      }
    }
    i -= tail_;
    const int64_t panel = i / depths_.count, depth = i % depths_.count;
    const int64_t lane = vectors_.begin(panel) * kLanes<float>, width = vectors_.size(panel) * kLanes<float>;
    const int64_t k = depths_.begin(depth);
    Micro::pack(x_ + lane * p_.ldx + k * Micro::kStep, p_.ldx, std::min(count_ - tail_ - lane, width),
                depths_.size(depth) * Micro::kStep, width, panels + lane * depths_.n + k * width);
  }
  int64_t blocks() const { return columns_.count; }
  void multiply(int64_t i, const Lane* panels, float* scratch) const {
    const int64_t begin = columns_.begin(i), size = columns_.size(i);
    for (int64_t d = 0; d < depths_.count && vectors_.n > 0; ++d) { multiply_depth(begin, size, d, panels, scratch); }
    if constexpr (Micro::kMaxTail > 0) { multiply_tail(begin, size, panels, scratch + count_ - tail_); }
    store(begin, size, scratch);
  }

 private:
  int64_t whole_panels() const { return vectors_.n * kLanes<float> * depths_.n; }

  /// The same number of blocks for each thread, and several, because threads are seldom equally fast.
  static int64_t columns_of_block(int64_t N, int64_t threads) {
    constexpr int64_t kBlocksOfThread = 8, kMinColumns = 4 * kRows;
    const int64_t wanted = N / (kBlocksOfThread * threads);
    const int64_t columns = std::clamp(wanted, kMinColumns, kBlockColumns);
    const int64_t blocks = (N + columns * threads - 1) / (columns * threads) * threads;
    return (N + blocks - 1) / blocks;
  }

  void multiply_depth(int64_t begin, int64_t size, int64_t d, const Lane* panels, float* sums) const {
    const int64_t k = depths_.begin(d), depth = depths_.size(d) * Micro::kStep;
    const int64_t stride = kWidened ? kWidenedStride : p_.ldw;
    const typename Micro::Weight* weight;
    if constexpr (kWidened) {
      float* wide = sums + kBlockColumns * sums_stride_;
      for (int64_t n = 0; n < size; ++n) {
        widen(p_.weight + (begin + n) * p_.ldw + k * Micro::kStep, depth, wide + n * kWidenedStride);
      }
      weight = wide;
    } else {
      weight = p_.weight + begin * p_.ldw + k * Micro::kStep;
    }
    alignas(64) float bias[kBlockColumns] = {};
    if (p_.bias != nullptr) { std::copy_n(p_.bias + begin, size, bias); }
    for (int64_t panel = 0; panel < vectors_.count; ++panel) {
      const int64_t lane = vectors_.begin(panel) * kLanes<float>, width = vectors_.size(panel) * kLanes<float>;
      for (int64_t n = 0; n < size; n += kRows) {
        const Target target{sums + n * sums_stride_ + lane, sums_stride_, d == 0 ? bias + n : nullptr};
        multiply_of<Micro>(std::min<int64_t>(kRows, size - n), vectors_.size(panel))(
            depth, weight + n * stride, stride, panels + lane * depths_.n + k * width, target);
      }
    }
  }

  /// The products of the tail: the last rows of x, where they would fill at most half of a vector's lanes.
  void multiply_tail(int64_t begin, int64_t size, const Lane* panels, float* sums) const {
    const auto* rows = reinterpret_cast<const typename Micro::Weight*>(panels + whole_panels());
    for (int64_t n = 0; n < size && tail_ > 0; n += Micro::kTailWeightRows) {
      const int64_t rows_of_w = std::min(Micro::kTailWeightRows, size - n);
      float* const out = sums + n * sums_stride_;
      multiply_tail_of<Micro>(rows_of_w, tail_)(p_.K, p_.weight + (begin + n) * p_.ldw, p_.ldw, rows, tail_stride_, out,
                                                sums_stride_);
      if (p_.bias == nullptr) { continue; }
      for (int64_t r = 0; r < rows_of_w; ++r) {
        for (int64_t t = 0; t < tail_; ++t) { out[r * sums_stride_ + t] += p_.bias[begin + n + r]; }
      }
    }
  }

  static void widen(const BFloat16* from, int64_t count, float* to) {
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) { store_eight(to + k, load_eight(from + k)); }
    for (; k < count; ++k) { to[k] = static_cast<float>(from[k]); }
  }

  /// Writes y's columns [begin, begin + size): the transpose of their sums.
  void store(int64_t begin, int64_t size, const float* sums) const {
    for (int64_t m = 0; m < count_; m += 8) {
      const int64_t rows = std::min<int64_t>(8, count_ - m);
      float* out = y_ + m * p_.ldy + begin;
      int64_t n = 0;
      for (; n + 8 <= size; n += 8) {
        Eight x[8];
        for (int64_t i = 0; i < 8; ++i) { x[i] = load_eight(sums + (n + i) * sums_stride_ + m); }
        transpose(x);
        for (int64_t i = 0; i < rows; ++i) { store_eight(out + i * p_.ldy + n, x[i]); }
      }
      for (; n < size; ++n) {
        for (int64_t i = 0; i < rows; ++i) { out[i * p_.ldy + n] = sums[n * sums_stride_ + m + i]; }
      }
    }
  }

  const LinearProduct<W>& p_;
  const float* x_;
  float* y_;
  int64_t count_, tail_;  // rows of the chunk; how many of them, its last, are the tail
  EvenSplit vectors_;
  int64_t sums_stride_;  // a vector more than the lanes: rows a power of two apart would map to one cache set
  int64_t tail_stride_;
  EvenSplit depths_, columns_;
};

template <class Micro, class W>
void run(const LinearProduct<W>& p) {
  const int threads = omp_in_parallel() || p.M * p.N * p.K < kMinParallelProducts ? 1 : omp_get_max_threads();
  for (int64_t first = 0; first < p.M; first += kChunkRows) {
    const LinearTask<Micro, W> task(p, first, std::min(kChunkRows, p.M - first), threads);
    const Buffer<typename Micro::Lane> panels(task.panel_lanes());
    const Buffer<float> scratch(threads * task.scratch());
    if (threads == 1) {
      for (int64_t i = 0; i < task.packings(); ++i) { task.pack(i, panels.data); }
      for (int64_t i = 0; i < task.blocks(); ++i) { task.multiply(i, panels.data, scratch.data); }
      continue;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < task.packings(); ++i) { task.pack(i, panels.data); }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < task.blocks(); ++i) {
        task.multiply(i, panels.data, scratch.data + omp_get_thread_num() * task.scratch());
      }
    }
  }
}

TERRACE_REGISTER(linear_product<float>, run<F32Fma, float>);
TERRACE_REGISTER(linear_product<BFloat16>, run<F32Fma, BFloat16>);
#ifdef __AVX512F__
TERRACE_REGISTER(linear_product_bf16, run<Bf16Dot, BFloat16>);
#endif

}  // namespace
}  // namespace terrace
