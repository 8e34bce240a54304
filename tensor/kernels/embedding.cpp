#include "tensor/kernels/embedding.h"

#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* weight, const int64_t* indices, T* y, EmbeddingExtents extents) {
  const int64_t count = extents.count, cols = extents.cols;
#pragma omp parallel for schedule(static) if (count * cols > kMinParallelElements)
  for (int64_t i = 0; i < count; ++i) {
    const T* from = weight + indices[i] * cols;
    write_row(y + i * cols, cols, false, [&](int64_t c) { return from[c]; });
  }
}

/// Threads share the columns, not the rows: no two write the same element, and each element is summed in the order of
/// the indices.
template <class T>
void backward(const T* dy, const int64_t* indices, Accumulator<T>* dweight, EmbeddingExtents extents) {
  const int64_t count = extents.count, cols = extents.cols;
  using A = Accumulator<T>;
  constexpr int64_t kStrip = 32;
  const int64_t strips = (cols + kStrip - 1) / kStrip;
#pragma omp parallel for schedule(static) if (count * cols > kMinParallelElements)
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t begin = strip * kStrip;
    const int64_t end = begin + kStrip < cols ? begin + kStrip : cols;
    for (int64_t i = 0; i < count; ++i) {
      const T* from = dy + i * cols;
      A* to = dweight + indices[i] * cols;
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) { to[c] += static_cast<A>(from[c]); }
    }
  }
}

TERRACE_REGISTER_FLOATS(embedding_forward, forward);
TERRACE_REGISTER_FLOATS(embedding_backward, backward);

}  // namespace
}  // namespace terrace
