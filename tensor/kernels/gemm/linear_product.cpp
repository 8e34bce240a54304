#include "tensor/kernels/gemm/linear_product.h"

#include <omp.h>

#include "tensor/kernels/buffer.h"
#include "tensor/kernels/gemm/gemm_block.h"
#include "tensor/kernels/gemm/lane_product.h"

namespace terrace {
namespace {

// Blocks of kBlockColumns rows of W by kGemmDepth stay in the second cache, beside a panel of x.
constexpr int64_t kBlockColumns = 72;
constexpr int64_t kRowsAtATime = 512;  // of x

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
    for (int64_t d = 0; d < depths_.count && vectors_.n > 0; ++d) { multiply_depth(begin, size, d, panels, scratch); }
    if constexpr (Way::kMostApart > 0) { multiply_apart(begin, size, panels, scratch + count_ - apart_); }
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
    if (p_.bias != nullptr) { std::copy_n(p_.bias + begin, size, bias); }
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
      if (p_.bias == nullptr) { continue; }
      for (int64_t r = 0; r < some; ++r) {
        for (int64_t t = 0; t < apart_; ++t) { out[r * sums_stride_ + t] += p_.bias[begin + n + r]; }
      }
    }
  }

  static void widen(const BFloat16* from, int64_t count, float* to) {
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) { store_eight(to + k, load_eight(from + k)); }
    for (; k < count; ++k) { to[k] = static_cast<float>(from[k]); }
  }

  /// y's columns [begin, begin + size) from their sums, turned.
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
      for (int64_t i = 0; i < job.packings(); ++i) { job.pack(i, panels.data); }
      for (int64_t i = 0; i < job.blocks(); ++i) { job.multiply(i, panels.data, scratch.data); }
      continue;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < job.packings(); ++i) { job.pack(i, panels.data); }
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
