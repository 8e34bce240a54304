// The gradient without float atomics: the indices are sorted, their places with them, so that the rows of dy that
// belong together are neighbours, in the order of the indices. A block sums a stretch of them, a thread a column; a run
// of equal indices that crosses the end of a stretch leaves its parts, which a second kernel adds up in their order.
#include "tensor/kernels/embedding.h"

#include <limits>

#include "cuda/device/sorting.h"

namespace terrace {
namespace {

using cuda::NarrowItem;

constexpr int kThreads = 128;
constexpr int64_t kStretch = 64;  // rows of dy

template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_rows(const T* weight, const int64_t* indices, T* y, EmbeddingExtents extents) {
  const int64_t index = indices[blockIdx.x], cols = extents.cols;
  const bool inside = index >= 0 && index < extents.rows;
  T* to = y + blockIdx.x * cols;
  for (int64_t c = threadIdx.x; c < cols; c += kThreads) {
    to[c] = inside ? weight[index * cols + c] : static_cast<T>(std::numeric_limits<Accumulator<T>>::quiet_NaN());
  }
}

/// The item of index i: sorted by row of the table, then by i. Indices outside come last, as one row.
struct IndexItem {
  const int64_t* indices;
  int64_t rows;
  __device__ NarrowItem operator()(int64_t, int64_t i) const {
    const bool inside = indices[i] >= 0 && indices[i] < rows;
    return cuda::make_item(static_cast<uint32_t>(inside ? indices[i] : rows), i);
  }
};

/// Sorted indices, cut into stretches.
struct Sorted {
  const NarrowItem* items;
  int64_t count, rows;  // of dweight

  __device__ int64_t row(int64_t at) const { return cuda::key_of(items[at]); }
  __device__ int64_t end(int64_t stretch) const {
    return (stretch + 1) * kStretch < count ? (stretch + 1) * kStretch : count;
  }
  __device__ bool inside(int64_t at) const { return row(at) < rows; }
  /// Whether the run that holds `at` goes on behind it.
  __device__ bool goes_on(int64_t at) const { return at + 1 < count && row(at + 1) == row(at); }
};

/// A stretch's first run where it began before the stretch, and its last where it goes on behind it but began here.
enum Part : int { kHead, kTail, kParts };

/// blockIdx.x: stretch, y: block of columns. parts (stretches, kParts, cols).
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_stretches(const T* dy, Sorted sorted, Accumulator<T>* parts, Accumulator<T>* dweight, int64_t cols) {
  using A = Accumulator<T>;
  const int64_t stretch = blockIdx.x, begin = stretch * kStretch, end = sorted.end(stretch);
  const int64_t c = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (c >= cols) { return; }
  bool began_before = begin > 0 && sorted.goes_on(begin - 1);
  A sum = 0;
  for (int64_t at = begin; at < end; ++at) {
    sum += static_cast<A>(dy[cuda::index_of(sorted.items[at]) * cols + c]);
    const bool goes_on = sorted.goes_on(at);
    if (goes_on && at + 1 < end) { continue; }
    if (began_before) {
      parts[(stretch * kParts + kHead) * cols + c] = sum;
    } else if (goes_on) {
      parts[(stretch * kParts + kTail) * cols + c] = sum;
    } else if (sorted.inside(at)) {
      dweight[sorted.row(at) * cols + c] += sum;
    }
    began_before = false;
    sum = 0;
  }
}

/// The same grid: the block of the stretch where a run began adds up its parts.
template <class A>
__global__ void __launch_bounds__(kThreads) join_parts(Sorted sorted, const A* parts, A* dweight, int64_t cols) {
  int64_t stretch = blockIdx.x;
  const int64_t c = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  int64_t last = sorted.end(stretch) - 1;
  const int64_t begin = stretch * kStretch, row = sorted.row(last);
  const bool began_before = begin > 0 && sorted.row(begin - 1) == row;
  if (c >= cols || began_before || !sorted.goes_on(last) || !sorted.inside(last)) { return; }
  A sum = parts[(stretch * kParts + kTail) * cols + c];
  do {
    ++stretch;
    sum += parts[(stretch * kParts + kHead) * cols + c];
    last = sorted.end(stretch) - 1;
  } while (sorted.row(last) == row && sorted.goes_on(last));
  dweight[row * cols + c] += sum;
}

template <class T>
void forward(const T* weight, const int64_t* indices, T* y, EmbeddingExtents extents) {
  cuda::launch("embedding", gather_rows<T>, cuda::Grid(extents.count, kThreads), weight, indices, y, extents);
}

template <class T>
void backward(const T* dy, const int64_t* indices, Accumulator<T>* dweight, EmbeddingExtents extents) {
  using A = Accumulator<T>;
  const int64_t count = extents.count, cols = extents.cols;
  if (count * cols == 0) { return; }
  if (count >= cuda::kNarrowLimit) { throw ShapeError(cat("embedding: up to 2^32 - 1 indices on a GPU, got ", count)); }
  if (extents.rows >= cuda::kNarrowLimit) {
    throw ShapeError(cat("embedding: up to 2^32 - 1 rows on a GPU, got ", extents.rows));
  }
  const cuda::SortedRows<NarrowItem> by_row("embedding backward", 1, count, IndexItem{indices, extents.rows});
  const Sorted sorted{by_row.items(), count, extents.rows};
  const int64_t stretches = cuda::blocks_for(count, kStretch);
  const cuda::Scratch parts(static_cast<size_t>(stretches * kParts * cols) * sizeof(A));
  const dim3 blocks(static_cast<unsigned>(stretches), static_cast<unsigned>(cuda::blocks_for(cols, kThreads)));
  const cuda::Grid grid(blocks, dim3(kThreads));
  cuda::launch("embedding backward", sum_stretches<T>, grid, dy, sorted, parts.as<A>(), dweight, cols);
  cuda::launch("embedding backward", join_parts<A>, grid, sorted, parts.as<A>(), dweight, cols);
}

TERRACE_REGISTER(embedding_forward<float>, forward<float>);
TERRACE_REGISTER(embedding_forward<BFloat16>, forward<BFloat16>);
TERRACE_REGISTER(embedding_forward<double>, forward<double>);
TERRACE_REGISTER(embedding_backward<float>, backward<float>);
TERRACE_REGISTER(embedding_backward<BFloat16>, backward<BFloat16>);
TERRACE_REGISTER(embedding_backward<double>, backward<double>);

}  // namespace
}  // namespace terrace
