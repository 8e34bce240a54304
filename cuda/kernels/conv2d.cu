// Convolutions as products whose operands are gathered from the images (implicit GEMM), by the tiles of
// cuda/device/tiles.h:
//
//   y       (O, (b,i,j))   = weight (O, (c,u,v))   taps of x   ((c,u,v), (b,i,j))
//   dx      (C, (b,h,w))   = weight (C, (o,u,v))   taps of dy  ((o,u,v), (b,h,w))
//   dweight (O, (c,u,v))   = dy     (O, (b,i,j))   taps of x   ((b,i,j), (c,u,v))
#include "cuda/kernels/conv2d.h"

#include "cuda/device/collectives.h"
#include "cuda/device/tiles.h"

namespace terrace {
namespace {

using cuda::kTile, cuda::Contiguous;

constexpr int kBiasThreads = 256;

/// (c, u, v) of a flat index into the taps of a kernel.
struct Tap {
  int64_t channel, u, v;
  __device__ Tap(const Conv2dGeometry& g, int64_t i)
      : channel(i / (g.kernel_height * g.kernel_width)),
        u(i / g.kernel_width % g.kernel_height),
        v(i % g.kernel_width) {}
};
/// (b, i, j) of a flat index into images of `height` x `width`.
struct Place {
  int64_t image, i, j;
  __device__ Place(int64_t height, int64_t width, int64_t at)
      : image(at / (height * width)), i(at / width % height), j(at % width) {}
};

/// The element of x that result (i, j) of an image reads through a tap; 0 in the padding.
template <class T>
__device__ Accumulator<T> tap_of_x(const Conv2dGeometry& g, const T* x, const Place& result, const Tap& tap) {
  const int64_t h = result.i * g.stride + tap.u - g.top, w = result.j * g.stride + tap.v - g.left;
  if (h < 0 || h >= g.height || w < 0 || w >= g.width) { return 0; }
  return static_cast<Accumulator<T>>(x[((result.image * g.in_channels + tap.channel) * g.height + h) * g.width + w]);
}
/// The gradient of the result that read element (h, w) of an image through a tap; 0 where none did.
template <class T>
__device__ Accumulator<T> tap_of_dy(const Conv2dGeometry& g, const T* dy, const Place& element, const Tap& tap) {
  const int64_t h = element.i + g.top - tap.u, w = element.j + g.left - tap.v;
  if (h < 0 || w < 0 || h % g.stride != 0 || w % g.stride != 0) { return 0; }
  const int64_t i = h / g.stride, j = w / g.stride, height = g.out_height(), width = g.out_width();
  if (i >= height || j >= width) { return 0; }
  return static_cast<Accumulator<T>>(dy[((element.image * g.out_channels + tap.channel) * height + i) * width + j]);
}

/// The first row and column of this block's tile. blockIdx.x: tile of rows and tile of columns, the latter the faster.
struct TileStart {
  int64_t row, column;
  __device__ explicit TileStart(int64_t columns) {
    const int64_t across = (columns + kTile - 1) / kTile;
    row = blockIdx.x / across * kTile;
    column = blockIdx.x % across * kTile;
  }
};
cuda::Grid tile_grid(int64_t rows, int64_t columns) {
  return {cuda::blocks_for(rows, kTile) * cuda::blocks_for(columns, kTile), cuda::kTileThreads};
}

template <class T>
__global__ void __launch_bounds__(cuda::kTileThreads)
    forward_tiles(Conv2dGeometry g, const T* x, const T* weight, const T* bias, T* y) {
  using A = Accumulator<T>;
  const int64_t height = g.out_height(), width = g.out_width();
  const int64_t K = g.in_channels * g.kernel_height * g.kernel_width, N = g.batch * height * width;
  const TileStart start(N);
  const auto weights = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t o = start.row + i;
    return o < g.out_channels && k < K ? static_cast<A>(weight[o * K + k]) : A(0);
  });
  const auto taps = cuda::tile_operand(Contiguous::kAcrossK, [&](int i, int64_t k) {
    const int64_t n = start.column + i;
    return n < N && k < K ? tap_of_x(g, x, Place(height, width, n), Tap(g, k)) : A(0);
  });
  cuda::multiply_tile<A>(K, weights, taps, [&](int row, int column, A sum) {
    const int64_t o = start.row + row, n = start.column + column, positions = height * width;
    if (o >= g.out_channels || n >= N) { return; }
    if (bias) { sum += static_cast<A>(bias[o]); }
    y[(n / positions * g.out_channels + o) * positions + n % positions] = static_cast<T>(sum);
  });
}

template <class T>
__global__ void __launch_bounds__(cuda::kTileThreads)
    gradient_of_x_tiles(Conv2dGeometry g, const T* weight, const T* dy, T* dx) {
  using A = Accumulator<T>;
  const int64_t taps_of_kernel = g.kernel_height * g.kernel_width;
  const int64_t K = g.out_channels * taps_of_kernel, N = g.batch * g.height * g.width;
  const TileStart start(N);
  const auto weights = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t c = start.row + i, o = k / taps_of_kernel;
    if (c >= g.in_channels || k >= K) { return A(0); }
    return static_cast<A>(weight[(o * g.in_channels + c) * taps_of_kernel + k % taps_of_kernel]);
  });
  const auto taps = cuda::tile_operand(Contiguous::kAcrossK, [&](int i, int64_t k) {
    const int64_t n = start.column + i;
    return n < N && k < K ? tap_of_dy(g, dy, Place(g.height, g.width, n), Tap(g, k)) : A(0);
  });
  cuda::multiply_tile<A>(K, weights, taps, [&](int row, int column, A sum) {
    const int64_t c = start.row + row, n = start.column + column, positions = g.height * g.width;
    if (c >= g.in_channels || n >= N) { return; }
    dx[(n / positions * g.in_channels + c) * positions + n % positions] = static_cast<T>(sum);
  });
}

template <class T>
__global__ void __launch_bounds__(cuda::kTileThreads)
    gradient_of_weight_tiles(Conv2dGeometry g, const T* x, const T* dy, T* dweight) {
  using A = Accumulator<T>;
  const int64_t height = g.out_height(), width = g.out_width(), positions = height * width;
  const int64_t K = g.batch * positions, N = g.in_channels * g.kernel_height * g.kernel_width;
  const TileStart start(N);
  const auto gradients = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t o = start.row + i;
    if (o >= g.out_channels || k >= K) { return A(0); }
    return static_cast<A>(dy[(k / positions * g.out_channels + o) * positions + k % positions]);
  });
  const auto taps = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t n = start.column + i;
    return n < N && k < K ? tap_of_x(g, x, Place(height, width, k), Tap(g, n)) : A(0);
  });
  cuda::multiply_tile<A>(K, gradients, taps, [&](int row, int column, A sum) {
    const int64_t o = start.row + row, n = start.column + column;
    if (o < g.out_channels && n < N) { dweight[o * N + n] = static_cast<T>(sum); }
  });
}

/// One block for each channel.
template <class T>
__global__ void __launch_bounds__(kBiasThreads)
    sum_of_channel(const T* dy, T* dbias, int64_t batch, int64_t positions) {
  const int64_t channels = gridDim.x, o = blockIdx.x;
  Accumulator<T> sum = 0;
  for (int64_t i = threadIdx.x; i < batch * positions; i += kBiasThreads) {
    sum += static_cast<Accumulator<T>>(dy[(i / positions * channels + o) * positions + i % positions]);
  }
  sum = cuda::block_sum<kBiasThreads>(sum);
  if (threadIdx.x == 0) { dbias[o] = static_cast<T>(sum); }
}

}  // namespace

template <class T>
void cuda::tiled_convolution(const Conv2dGeometry& g, const T* x, const T* weight, const T* bias, T* y) {
  cuda::launch("conv2d", forward_tiles<T>, tile_grid(g.out_channels, g.batch * g.out_height() * g.out_width()), g, x,
               weight, bias, y);
}
template <class T>
void cuda::tiled_gradient_of_x(const Conv2dGeometry& g, const T* weight, const T* dy, T* dx) {
  cuda::launch("conv2d gradient of x", gradient_of_x_tiles<T>, tile_grid(g.in_channels, g.batch * g.height * g.width),
               g, weight, dy, dx);
}
template <class T>
void cuda::tiled_gradient_of_weight(const Conv2dGeometry& g, const T* x, const T* dy, T* dweight) {
  cuda::launch("conv2d gradient of weight", gradient_of_weight_tiles<T>,
               tile_grid(g.out_channels, g.in_channels * g.kernel_height * g.kernel_width), g, x, dy, dweight);
}
template <class T>
void cuda::gradient_of_bias(const Conv2dGeometry& g, const T* dy, T* dbias) {
  cuda::launch("conv2d gradient of bias", sum_of_channel<T>, cuda::Grid(g.out_channels, kBiasThreads), dy, dbias,
               g.batch, g.out_height() * g.out_width());
}

#define TERRACE_CONVOLUTION(T)                                                                       \
  template void cuda::tiled_convolution<T>(const Conv2dGeometry&, const T*, const T*, const T*, T*); \
  template void cuda::tiled_gradient_of_x<T>(const Conv2dGeometry&, const T*, const T*, T*);         \
  template void cuda::tiled_gradient_of_weight<T>(const Conv2dGeometry&, const T*, const T*, T*);    \
  template void cuda::gradient_of_bias<T>(const Conv2dGeometry&, const T*, T*)
TERRACE_CONVOLUTION(float);
TERRACE_CONVOLUTION(double);
TERRACE_CONVOLUTION(BFloat16);

#if defined(TERRACE_CUDA_HOST)
namespace {

template <class T>
void backward(const Conv2dGeometry& g, const T* x, const T* weight, const T* dy, T* dx, T* dweight, T* dbias) {
  if (dx) { cuda::tiled_gradient_of_x(g, weight, dy, dx); }
  if (dweight) { cuda::tiled_gradient_of_weight(g, x, dy, dweight); }
  if (dbias) { cuda::gradient_of_bias(g, dy, dbias); }
}

TERRACE_REGISTER_FLOATS(conv2d_forward, cuda::tiled_convolution);
TERRACE_REGISTER_FLOATS(conv2d_backward, backward);

}  // namespace
#endif

}  // namespace terrace
