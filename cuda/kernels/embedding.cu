// The gradient without float atomics: the indices are sorted together with their positions, so that the rows of dy that
// are added to the same row of the table follow one another, in the order of their positions. A block takes a chunk of
// the sorted positions, a thread sums a column. A run of equal indices that crosses the border of two chunks leaves a
// partial sum in each, which a second kernel adds up in their order.
#include "tensor/kernels/embedding.h"

#include <limits>

#include "cuda/device/sorting.h"

namespace terrace {
namespace {

using cuda::NarrowItem;

constexpr int kThreads = 128;
constexpr int64_t kChunk = 64;  // rows of dy

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

/// Sorted indices, cut into chunks.
struct Sorted {
  const NarrowItem* items;
  int64_t count, rows;  // of dweight

  __device__ int64_t row(int64_t at) const { return cuda::key_of(items[at]); }
  __device__ int64_t end(int64_t chunk) const { return (chunk + 1) * kChunk < count ? (chunk + 1) * kChunk : count; }
  __device__ bool inside(int64_t at) const { return row(at) < rows; }
  /// Whether the next element belongs to the same run.
  __device__ bool goes_on(int64_t at) const { return at + 1 < count && row(at + 1) == row(at); }
};

/// The partial sums of a chunk: kHead of the run that continues from the chunk before, kTail of the run that begins
/// here and continues in the next chunk.
enum Part : int { kHead, kTail, kParts };

/// blockIdx.x: chunk, y: block of columns. parts (chunks, kParts, cols).
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_chunks(const T* dy, Sorted sorted, Accumulator<T>* parts, Accumulator<T>* dweight, int64_t cols) {
  using A = Accumulator<T>;
  const int64_t chunk = blockIdx.x, begin = chunk * kChunk, end = sorted.end(chunk);
  const int64_t c = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (c >= cols) { return; }
  bool began_before = begin > 0 && sorted.goes_on(begin - 1);
  A sum = 0;
  for (int64_t at = begin; at < end; ++at) {
    sum += static_cast<A>(dy[cuda::index_of(sorted.items[at]) * cols + c]);
    const bool goes_on = sorted.goes_on(at);
    if (goes_on && at + 1 < end) { continue; }
    if (began_before) {
      parts[(chunk * kParts + kHead) * cols + c] = sum;
    } else if (goes_on) {
      parts[(chunk * kParts + kTail) * cols + c] = sum;
    } else if (sorted.inside(at)) {
      dweight[sorted.row(at) * cols + c] += sum;
    }
    began_before = false;
    sum = 0;
  }
}

/// The same grid: the block of the chunk where a run begins adds up the run's parts.
template <class A>
__global__ void __launch_bounds__(kThreads) join_parts(Sorted sorted, const A* parts, A* dweight, int64_t cols) {
  int64_t chunk = blockIdx.x;
  const int64_t c = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  int64_t last = sorted.end(chunk) - 1;
  const int64_t begin = chunk * kChunk, row = sorted.row(last);
  const bool began_before = begin > 0 && sorted.row(begin - 1) == row;
  if (c >= cols || began_before || !sorted.goes_on(last) || !sorted.inside(last)) { return; }
  A sum = parts[(chunk * kParts + kTail) * cols + c];
  do {
    ++chunk;
    sum += parts[(chunk * kParts + kHead) * cols + c];
    last = sorted.end(chunk) - 1;
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
  const int64_t chunks = cuda::blocks_for(count, kChunk);
  const cuda::Scratch parts(static_cast<size_t>(chunks * kParts * cols) * sizeof(A));
  const dim3 blocks(static_cast<unsigned>(chunks), static_cast<unsigned>(cuda::blocks_for(cols, kThreads)));
  const cuda::Grid grid(blocks, dim3(kThreads));
  cuda::launch("embedding backward", sum_chunks<T>, grid, dy, sorted, parts.as<A>(), dweight, cols);
  cuda::launch("embedding backward", join_parts<A>, grid, sorted, parts.as<A>(), dweight, cols);
}

TERRACE_REGISTER_FLOATS(embedding_forward, forward);
TERRACE_REGISTER_FLOATS(embedding_backward, backward);

}  // namespace
}  // namespace terrace
