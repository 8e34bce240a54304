// Layers of tensor/kernels/inference.h. The convolution is a product, pixels times weights, by the tiles of
// cuda/device/tiles.h; in a pool a thread computes a pack of a pixel's channels.
#include "cuda/kernels/inference.h"

#include "cuda/device/elementwise.h"
#include "cuda/device/this_device.h"
#include "cuda/device/tiles.h"
#include "tensor/base/formulas.h"

namespace terrace {
namespace {

using cuda::kTile, cuda::Contiguous;

/// The element of x that result `place` = (b, i, j) reads through tap k = (u, v, c); 0 in the padding.
template <class T>
__device__ Accumulator<T> tap(const Conv2dGeometry& g, const T* x, int64_t place, int64_t k) {
  const int64_t width = g.out_width(), height = g.out_height(), across = g.kernel_width * g.in_channels;
  const int64_t h = place / width % height * g.stride + k / across - g.top;
  const int64_t w = place % width * g.stride + k % across / g.in_channels - g.left;
  if (h < 0 || h >= g.height || w < 0 || w >= g.width) { return 0; }
  const int64_t pixel = (place / (width * height) * g.height + h) * g.width + w;
  return static_cast<Accumulator<T>>(x[pixel * g.in_channels + k % g.in_channels]);
}

/// blockIdx.x: tile of places and tile of output channels, the latter the faster.
template <class T>
__global__ void __launch_bounds__(cuda::kTileThreads)
    conv_tiles(Conv2dGeometry g, int64_t pixel_stride, const T* x, const T* weight, const T* bias, T* y) {
  using A = Accumulator<T>;
  const int64_t places = g.batch * g.out_height() * g.out_width();
  const int64_t K = g.kernel_height * g.kernel_width * g.in_channels;
  const int64_t across = (g.out_channels + kTile - 1) / kTile;
  const int64_t first_place = blockIdx.x / across * kTile, first_channel = blockIdx.x % across * kTile;
  const auto taps = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t place = first_place + i;
    return place < places && k < K ? tap(g, x, place, k) : A(0);
  });
  const auto weights = cuda::tile_operand(Contiguous::kAlongK, [&](int i, int64_t k) {
    const int64_t o = first_channel + i;
    return o < g.out_channels && k < K ? static_cast<A>(weight[o * K + k]) : A(0);
  });
  cuda::multiply_tile<A>(K, taps, weights, [&](int row, int column, A sum) {
    const int64_t place = first_place + row, o = first_channel + column;
    if (place >= places || o >= g.out_channels) { return; }
    y[place * pixel_stride + o] = static_cast<T>(Relu{}.f(sum + static_cast<A>(bias[o])));
  });
}

/// A thread computes N channels of a pixel.
template <class T, int N>
struct PoolPixels {
  Pool2dGeometry g;
  int64_t height, width, channels;  // of the result
  InferencePooling pooling;
  int64_t pixel_stride;
  const T* x;
  T* y;

  template <int>
  __device__ void run(int64_t at) const {
    using A = Accumulator<T>;
    const int64_t packs = channels / N, place = at / packs, first = at % packs * N;
    const PoolRange rows = pool_window(g, place / width % height, g.height);
    const PoolRange columns = pool_window(g, place % width, g.width);
    const T* image = x + place / (width * height) * g.height * g.width * channels + first;
    A result[N] = {};
    int count = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = columns.begin; c < columns.end; ++c) {
        take(cuda::load_pack<N>(image + (r * g.width + c) * channels), result, count);
        ++count;
      }
    }
    cuda::Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const bool mean = pooling == InferencePooling::kMeanWithoutPad;
      pack.v[i] = static_cast<T>(mean ? result[i] / static_cast<A>(count) : result[i]);
    }
    cuda::store_pack(y + place * pixel_stride + first, pack);
  }

  /// Takes one position of the window, the `count`-th.
  __device__ void take(const cuda::Pack<T, N>& pack, Accumulator<T> (&result)[N], int count) const {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const auto value = static_cast<Accumulator<T>>(pack.v[i]);
      if (pooling == InferencePooling::kMeanWithoutPad) {
        result[i] += value;
      } else if (count == 0 || value > result[i] || value != value) {  // the last holds for NaN alone
        result[i] = value;
      }
    }
  }
};

template <class T, int N>
void launch_pool(const Pool2dGeometry& g, int64_t channels, InferencePooling pooling, int64_t pixel_stride, const T* x,
                 T* y) {
  const PoolPixels<T, N> body{g, g.out_height(), g.out_width(), channels, pooling, pixel_stride, x, y};
  cuda::launch_each("inference pool", g.planes * body.height * body.width * (channels / N), body);
}

template <class T>
void pool(const Pool2dGeometry& g, int64_t channels, InferencePooling pooling, int64_t pixel_stride, const T* x, T* y) {
  constexpr int kPack = cuda::kPackOf<T>;
  const bool packs = channels % kPack == 0 && pixel_stride % kPack == 0 && cuda::are_pack_aligned(x, y);
  (packs ? launch_pool<T, kPack> : launch_pool<T, 1>)(g, channels, pooling, pixel_stride, x, y);
}

/// A thread writes the channels of a pixel, and zeros up to `stored` channels.
template <class T>
struct GatherChannels {
  int64_t channels, pixels, stored;
  const float* x;
  T* y;
  template <int>
  __device__ void run(int64_t at) const {
    const float* image = x + at / pixels * channels * pixels + at % pixels;
    for (int64_t c = 0; c < stored; ++c) {
      y[at * stored + c] = c < channels ? static_cast<T>(image[c * pixels]) : static_cast<T>(0.0F);
    }
  }
};

template <class T>
void gather_channels(int64_t images, int64_t channels, int64_t pixels, int64_t stored, const float* x, T* y) {
  cuda::launch_each("channels last", images * pixels, GatherChannels<T>{channels, pixels, stored, x, y});
}

}  // namespace

template <class T>
void cuda::tiled_inference_conv(const Conv2dGeometry& g, int64_t pixel_stride, const T* x, const T* weight,
                                const T* bias, T* y) {
  const int64_t places = g.batch * g.out_height() * g.out_width();
  const int64_t blocks = cuda::blocks_for(places, kTile) * cuda::blocks_for(g.out_channels, kTile);
  cuda::launch("inference conv", conv_tiles<T>, cuda::Grid(blocks, cuda::kTileThreads), g, pixel_stride, x, weight,
               bias, y);
}
template void cuda::tiled_inference_conv<float>(const Conv2dGeometry&, int64_t, const float*, const float*,
                                                const float*, float*);
template void cuda::tiled_inference_conv<BFloat16>(const Conv2dGeometry&, int64_t, const BFloat16*, const BFloat16*,
                                                   const BFloat16*, BFloat16*);

TERRACE_REGISTER(inference_pool<float>, pool<float>);
TERRACE_REGISTER(inference_pool<BFloat16>, pool<BFloat16>);
TERRACE_REGISTER(channels_last<float>, gather_channels<float>);
TERRACE_REGISTER(channels_last<BFloat16>, gather_channels<BFloat16>);
#if defined(TERRACE_CUDA_HOST)
TERRACE_REGISTER(inference_conv<float>, cuda::tiled_inference_conv<float>);
TERRACE_REGISTER(inference_conv<BFloat16>, cuda::tiled_inference_conv<BFloat16>);
#endif

}  // namespace terrace
