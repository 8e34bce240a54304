// Forward and dx: one block has a row. The gradients of gain and shift: a thread sums a channel, over the same blocks
// of rows and in the same order as on the CPU.
#include "tensor/kernels/layer_norm.h"

#include "cuda/device/collectives.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

template <int Threads, class T>
__global__ void __launch_bounds__(Threads)
    forward_rows(const T* x, const T* gain, const T* shift, T* y, Accumulator<T>* mean, Accumulator<T>* inverse_std,
                 LayerNormLayout layout, Accumulator<T> eps) {
  using A = Accumulator<T>;
  const int64_t r = blockIdx.x, cols = layout.cols, sample = r / layout.rows;
  x += r * cols;
  y += r * cols;
  A sum = 0;
  for (int64_t i = threadIdx.x; i < cols; i += Threads) { sum += static_cast<A>(x[i]); }
  const A m = cuda::block_sum<Threads>(sum) / A(cols);
  A squares = 0;
  for (int64_t i = threadIdx.x; i < cols; i += Threads) {
    const A d = static_cast<A>(x[i]) - m;
    squares += d * d;
  }
  const A inverse = A(1) / math::sqrt(cuda::block_sum<Threads>(squares) / A(cols) + eps);
  if (threadIdx.x == 0) {
    mean[r] = m;
    inverse_std[r] = inverse;
  }
  const A offset = static_cast<A>(layout.gain_offset);
  for (int64_t i = threadIdx.x; i < cols; i += Threads) {
    A value = (static_cast<A>(x[i]) - m) * inverse;
    if (gain) { value *= offset + static_cast<A>(gain[sample * layout.gain_stride + i]); }
    if (shift) { value += static_cast<A>(shift[sample * layout.shift_stride + i]); }
    y[i] = static_cast<T>(value);
  }
}

template <int Threads, class T>
__global__ void __launch_bounds__(Threads)
    backward_rows(const T* x, const T* gain, const Accumulator<T>* mean, const Accumulator<T>* inverse_std, const T* dy,
                  T* dx, LayerNormLayout layout) {
  using A = Accumulator<T>;
  const int64_t r = blockIdx.x, cols = layout.cols, sample = r / layout.rows;
  x += r * cols;
  dy += r * cols;
  dx += r * cols;
  const A m = mean[r], inverse = inverse_std[r], offset = static_cast<A>(layout.gain_offset);
  const auto scaled = [&](int64_t i) {  // the gradient of the normalised value
    const A g = static_cast<A>(dy[i]);
    return gain ? g * (offset + static_cast<A>(gain[sample * layout.gain_stride + i])) : g;
  };
  A sum = 0, dot = 0;
  for (int64_t i = threadIdx.x; i < cols; i += Threads) {
    const A g = scaled(i);
    sum += g;
    dot += g * ((static_cast<A>(x[i]) - m) * inverse);
  }
  sum = cuda::block_sum<Threads>(sum) / A(cols);
  dot = cuda::block_sum<Threads>(dot) / A(cols);
  for (int64_t i = threadIdx.x; i < cols; i += Threads) {
    dx[i] = static_cast<T>(inverse * (scaled(i) - sum - (static_cast<A>(x[i]) - m) * inverse * dot));
  }
}

constexpr int kPartThreads = 128;

/// blockIdx.x: sample, block of rows, and block of channels, the last the fastest.
template <class T>
__global__ void __launch_bounds__(kPartThreads)
    backward_parts(const T* x, const Accumulator<T>* mean, const Accumulator<T>* inverse_std, const T* dy,
                   Accumulator<T>* dgain_parts, Accumulator<T>* dshift_parts, LayerNormLayout layout, int64_t blocks) {
  using A = Accumulator<T>;
  const int64_t column_blocks = (layout.cols + kPartThreads - 1) / kPartThreads;
  const int64_t part = blockIdx.x / column_blocks;
  const int64_t c = blockIdx.x % column_blocks * kPartThreads + threadIdx.x;
  if (c >= layout.cols) { return; }
  const int64_t sample = part / blocks, begin = part % blocks * kLayerNormBlock;
  const int64_t end = begin + kLayerNormBlock < layout.rows ? begin + kLayerNormBlock : layout.rows;
  A dgain = 0, dshift = 0;
  for (int64_t r = sample * layout.rows + begin; r < sample * layout.rows + end; ++r) {
    const A g = static_cast<A>(dy[r * layout.cols + c]);
    dgain += g * ((static_cast<A>(x[r * layout.cols + c]) - mean[r]) * inverse_std[r]);
    dshift += g;
  }
  if (dgain_parts) { dgain_parts[part * layout.cols + c] = dgain; }
  if (dshift_parts) { dshift_parts[part * layout.cols + c] = dshift; }
}

template <class T>
void forward(const T* x, const T* gain, const T* shift, T* y, Accumulator<T>* mean, Accumulator<T>* inverse_std,
             LayerNormLayout layout, double eps) {
  cuda::with_row_threads(layout.cols, [&](auto threads) {
    cuda::launch("layer_norm", forward_rows<threads(), T>, cuda::Grid(layout.samples * layout.rows, threads()), x, gain,
                 shift, y, mean, inverse_std, layout, static_cast<Accumulator<T>>(eps));
  });
}

template <class T>
void backward(const T* x, const T* gain, const Accumulator<T>* mean, const Accumulator<T>* inverse_std, const T* dy,
              T* dx, Accumulator<T>* dgain_parts, Accumulator<T>* dshift_parts, LayerNormLayout layout) {
  cuda::with_row_threads(layout.cols, [&](auto threads) {
    cuda::launch("layer_norm backward", backward_rows<threads(), T>,
                 cuda::Grid(layout.samples * layout.rows, threads()), x, gain, mean, inverse_std, dy, dx, layout);
  });
  if (!dgain_parts && !dshift_parts) { return; }
  const int64_t blocks = layer_norm_blocks(layout.rows);
  cuda::launch("layer_norm parameters", backward_parts<T>,
               cuda::Grid(layout.samples * blocks * cuda::blocks_for(layout.cols, kPartThreads), kPartThreads), x, mean,
               inverse_std, dy, dgain_parts, dshift_parts, layout, blocks);
}

TERRACE_REGISTER_FLOATS(layer_norm_forward, forward);
TERRACE_REGISTER_FLOATS(layer_norm_backward, backward);

}  // namespace
}  // namespace terrace
