// One block has a row and reads it once in each pass; rows of the network's lengths stay cached in between.
#include "tensor/kernels/softmax.h"

#include "cuda/device/collectives.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

/// Calls f(i) for this thread's share of a row.
template <int Threads, class F>
__device__ void for_columns(int64_t cols, F&& f) {
  for (int64_t i = threadIdx.x; i < cols; i += Threads) { f(i); }
}

template <int Threads, class T>
__device__ Accumulator<T> row_max(const T* x, int64_t cols) {
  using A = Accumulator<T>;
  A largest = -std::numeric_limits<A>::infinity();
  for_columns<Threads>(cols, [&](int64_t i) { largest = cuda::Largest{}(largest, static_cast<A>(x[i])); });
  return cuda::block_max<Threads>(largest);
}

template <int Threads, class T>
__device__ Accumulator<T> row_exp_sum(const T* x, int64_t cols, Accumulator<T> largest) {
  using A = Accumulator<T>;
  A sum = 0;
  for_columns<Threads>(cols, [&](int64_t i) { sum += math::exp(static_cast<A>(x[i]) - largest); });
  return cuda::block_sum<Threads>(sum);
}

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) forward_rows(const T* x, T* y, int64_t cols) {
  using A = Accumulator<T>;
  x += blockIdx.x * cols;
  y += blockIdx.x * cols;
  const A largest = row_max<Threads>(x, cols);
  const A factor = A(1) / row_exp_sum<Threads>(x, cols, largest);
  for_columns<Threads>(cols,
                       [&](int64_t i) { y[i] = static_cast<T>(math::exp(static_cast<A>(x[i]) - largest) * factor); });
}

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) backward_rows(const T* y, const T* dy, T* dx, int64_t cols) {
  using A = Accumulator<T>;
  y += blockIdx.x * cols;
  dy += blockIdx.x * cols;
  dx += blockIdx.x * cols;
  A dot = 0;
  for_columns<Threads>(cols, [&](int64_t i) { dot += static_cast<A>(y[i]) * static_cast<A>(dy[i]); });
  dot = cuda::block_sum<Threads>(dot);
  for_columns<Threads>(
      cols, [&](int64_t i) { dx[i] = static_cast<T>(static_cast<A>(y[i]) * (static_cast<A>(dy[i]) - dot)); });
}

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) log_forward_rows(const T* x, T* y, int64_t cols) {
  using A = Accumulator<T>;
  x += blockIdx.x * cols;
  y += blockIdx.x * cols;
  const A largest = row_max<Threads>(x, cols);
  const A log_sum = math::log(row_exp_sum<Threads>(x, cols, largest));
  for_columns<Threads>(cols, [&](int64_t i) { y[i] = static_cast<T>((static_cast<A>(x[i]) - largest) - log_sum); });
}

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) log_backward_rows(const T* y, const T* dy, T* dx, int64_t cols) {
  using A = Accumulator<T>;
  y += blockIdx.x * cols;
  dy += blockIdx.x * cols;
  dx += blockIdx.x * cols;
  A sum = 0;
  for_columns<Threads>(cols, [&](int64_t i) { sum += static_cast<A>(dy[i]); });
  sum = cuda::block_sum<Threads>(sum);
  for_columns<Threads>(
      cols, [&](int64_t i) { dx[i] = static_cast<T>(static_cast<A>(dy[i]) - math::exp(static_cast<A>(y[i])) * sum); });
}

template <class T>
void forward(const T* x, T* y, int64_t rows, int64_t cols) {
  cuda::with_row_threads(cols, [&](auto threads) {
    cuda::launch("softmax", forward_rows<threads(), T>, cuda::Grid(rows, threads()), x, y, cols);
  });
}
template <class T>
void backward(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols) {
  cuda::with_row_threads(cols, [&](auto threads) {
    cuda::launch("softmax backward", backward_rows<threads(), T>, cuda::Grid(rows, threads()), y, dy, dx, cols);
  });
}
template <class T>
void log_forward(const T* x, T* y, int64_t rows, int64_t cols) {
  cuda::with_row_threads(cols, [&](auto threads) {
    cuda::launch("log_softmax", log_forward_rows<threads(), T>, cuda::Grid(rows, threads()), x, y, cols);
  });
}
template <class T>
void log_backward(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols) {
  cuda::with_row_threads(cols, [&](auto threads) {
    cuda::launch("log_softmax backward", log_backward_rows<threads(), T>, cuda::Grid(rows, threads()), y, dy, dx, cols);
  });
}

TERRACE_REGISTER_FLOATS(softmax_forward, forward);
TERRACE_REGISTER_FLOATS(softmax_backward, backward);
TERRACE_REGISTER_FLOATS(log_softmax_forward, log_forward);
TERRACE_REGISTER_FLOATS(log_softmax_backward, log_backward);

}  // namespace
}  // namespace terrace
