// One warp has a row: rows are heads or entries of a codebook, short and many.
#include "tensor/kernels/l2_normalize.h"

#include "cuda/device/collectives.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

constexpr int kThreads = 256, kRowsPerBlock = kThreads / cuda::kWarpSize;

/// The row of this thread's warp; the last block may have warps without a row.
__device__ int64_t own_row() { return int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / cuda::kWarpSize; }

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_rows(const T* x, T* y, Accumulator<T>* length, int64_t rows, int64_t cols, Accumulator<T> eps) {
  using A = Accumulator<T>;
  const int64_t r = own_row(), lane = threadIdx.x % cuda::kWarpSize;
  if (r >= rows) { return; }
  x += r * cols;
  y += r * cols;
  A squares = 0;
  for (int64_t i = lane; i < cols; i += cuda::kWarpSize) { squares += static_cast<A>(x[i]) * static_cast<A>(x[i]); }
  const A norm = math::sqrt(cuda::warp_reduce(squares, cuda::Plus{}));
  const A divisor = norm < eps ? eps : norm;  // a NaN stays
  if (lane == 0) { length[r] = divisor; }
  for (int64_t i = lane; i < cols; i += cuda::kWarpSize) { y[i] = static_cast<T>(static_cast<A>(x[i]) / divisor); }
}

template <class T>
__global__ void __launch_bounds__(kThreads) backward_rows(const T* y, const Accumulator<T>* length, const T* dy, T* dx,
                                                          int64_t rows, int64_t cols, Accumulator<T> eps) {
  using A = Accumulator<T>;
  const int64_t r = own_row(), lane = threadIdx.x % cuda::kWarpSize;
  if (r >= rows) { return; }
  y += r * cols;
  dy += r * cols;
  dx += r * cols;
  A dot = 0;
  for (int64_t i = lane; i < cols; i += cuda::kWarpSize) { dot += static_cast<A>(y[i]) * static_cast<A>(dy[i]); }
  dot = cuda::warp_reduce(dot, cuda::Plus{});
  if (length[r] == eps) {
    dot = 0;  // eps stood in for the length: a constant, without gradient
  }
  const A inverse = A(1) / length[r];
  for (int64_t i = lane; i < cols; i += cuda::kWarpSize) {
    dx[i] = static_cast<T>((static_cast<A>(dy[i]) - static_cast<A>(y[i]) * dot) * inverse);
  }
}

cuda::Grid grid_of(int64_t rows) { return cuda::Grid(cuda::blocks_for(rows, kRowsPerBlock), kThreads); }

template <class T>
void forward(const T* x, T* y, Accumulator<T>* length, int64_t rows, int64_t cols, double eps) {
  cuda::launch("l2_normalize", forward_rows<T>, grid_of(rows), x, y, length, rows, cols,
               static_cast<Accumulator<T>>(eps));
}

template <class T>
void backward(const T* y, const Accumulator<T>* length, const T* dy, T* dx, int64_t rows, int64_t cols, double eps) {
  cuda::launch("l2_normalize backward", backward_rows<T>, grid_of(rows), y, length, dy, dx, rows, cols,
               static_cast<Accumulator<T>>(eps));
}

TERRACE_REGISTER_FLOATS(l2_normalize_forward, forward);
TERRACE_REGISTER_FLOATS(l2_normalize_backward, backward);

}  // namespace
}  // namespace terrace
