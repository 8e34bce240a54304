// The gradient without float atomics: the block of a row's first occurrence adds up all of its occurrences, in the
// order of the indices. Each block reads all indices: right for the tables of VAR (classes, positions, scales), whose
// counts are a few thousand.
#include "tensor/kernels/embedding.h"

#include "cuda/kernel.h"

namespace terrace {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void __launch_bounds__(kThreads) gather_rows(const T* weight, const int64_t* indices, T* y, int64_t cols) {
  const T* from = weight + indices[blockIdx.x] * cols;
  T* to = y + blockIdx.x * cols;
  for (int64_t c = threadIdx.x; c < cols; c += kThreads) to[c] = from[c];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_rows(const T* dy, const int64_t* indices, Accumulator<T>* dweight, int64_t count, int64_t cols) {
  using A = Accumulator<T>;
  const int64_t own = blockIdx.x, row = indices[own];
  int earlier = 0;
  for (int64_t i = threadIdx.x; i < own; i += kThreads) earlier |= indices[i] == row;
  if (__syncthreads_or(earlier)) return;  // the same for the whole block
  TERRACE_SHARED(stretch, int64_t[kThreads]);
  for (int64_t columns = 0; columns < cols; columns += kThreads) {
    const int64_t c = columns + threadIdx.x;
    A sum = c < cols ? dweight[row * cols + c] : A(0);
    for (int64_t first = own; first < count; first += kThreads) {
      const int64_t length = count - first < kThreads ? count - first : kThreads;
      if (threadIdx.x < length) stretch[threadIdx.x] = indices[first + threadIdx.x];
      __syncthreads();
      for (int64_t i = 0; i < length; ++i) {
        if (stretch[i] == row && c < cols) sum += static_cast<A>(dy[(first + i) * cols + c]);
      }
      __syncthreads();
    }
    if (c < cols) dweight[row * cols + c] = sum;
  }
}

template <class T>
void forward(const T* weight, const int64_t* indices, T* y, int64_t count, int64_t cols) {
  cuda::launch("embedding", gather_rows<T>, cuda::Grid(count, kThreads), weight, indices, y, cols);
}
template <class T>
void backward(const T* dy, const int64_t* indices, Accumulator<T>* dweight, int64_t count, int64_t cols) {
  cuda::launch("embedding backward", add_rows<T>, cuda::Grid(count, kThreads), dy, indices, dweight, count, cols);
}

TERRACE_REGISTER(embedding_forward<float>, forward<float>);
TERRACE_REGISTER(embedding_forward<BFloat16>, forward<BFloat16>);
TERRACE_REGISTER(embedding_forward<double>, forward<double>);
TERRACE_REGISTER(embedding_backward<float>, backward<float>);
TERRACE_REGISTER(embedding_backward<BFloat16>, backward<BFloat16>);
TERRACE_REGISTER(embedding_backward<double>, backward<double>);

}  // namespace
}  // namespace terrace
