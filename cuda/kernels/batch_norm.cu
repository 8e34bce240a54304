// With given statistics every element is normalised by itself: forward goes over chunks of planes. Backward has a block
// for each plane, which sums the gradients of weight and bias in the pass that writes dx.
#include "tensor/kernels/batch_norm.h"

#include "cuda/device/planes.h"
#include "tensor/base/math.h"

namespace terrace {
namespace {

/// y = (x - mean) * factor + offset
template <class A>
struct Channel {
  A mean, inverse, factor, offset;

  template <class T>
  __device__ Channel(const T* means, const T* variances, const T* weights, const T* biases, A eps, int64_t c)
      : mean(static_cast<A>(means[c])),
        inverse(A(1) / math::sqrt(static_cast<A>(variances[c]) + eps)),
        factor(weights ? inverse * static_cast<A>(weights[c]) : inverse),
        offset(biases ? static_cast<A>(biases[c]) : A(0)) {}
};

template <int Threads, int N, class T>
__global__ void __launch_bounds__(Threads)
    forward_planes(const T* x, const T* mean, const T* variance, const T* weight, const T* bias, T* y,
                   BatchNormLayout layout, Accumulator<T> eps) {
  using A = Accumulator<T>;
  const cuda::PlaneChunk<Threads, N> at(layout.positions);
  const Channel<A> channel(mean, variance, weight, bias, eps, at.plane % layout.channels);
  at.for_packs([&](int64_t i) {
    const auto in = cuda::load_pack<N>(x + i);
    cuda::Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      out.v[k] = static_cast<T>((static_cast<A>(in.v[k]) - channel.mean) * channel.factor + channel.offset);
    }
    cuda::store_pack(y + i, out);
  });
}

template <int Threads, int N, class T>
__global__ void __launch_bounds__(Threads)
    backward_planes(const T* x, const T* mean, const T* variance, const T* weight, const T* dy, T* dx,
                    Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, BatchNormLayout layout,
                    Accumulator<T> eps) {
  using A = Accumulator<T>;
  const int64_t plane = blockIdx.x, first = plane * layout.positions;
  const Channel<A> channel(mean, variance, weight, static_cast<const T*>(nullptr), eps, plane % layout.channels);
  A sum = 0, dot = 0;
  cuda::for_row_packs<Threads, N>(layout.positions, [&](int64_t i) {
    const auto in = cuda::load_pack<N>(x + first + i), gradient = cuda::load_pack<N>(dy + first + i);
    cuda::Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A d = static_cast<A>(gradient.v[k]);
      sum += d;
      dot += d * (static_cast<A>(in.v[k]) - channel.mean);
      out.v[k] = static_cast<T>(d * channel.factor);
    }
    cuda::store_pack(dx + first + i, out);
  });
  sum = cuda::block_sum<Threads>(sum);
  dot = cuda::block_sum<Threads>(dot);
  if (threadIdx.x != 0) { return; }
  dbias_parts[plane] = sum;
  dweight_parts[plane] = dot * channel.inverse;
}

template <class T>
void forward(const T* x, const T* mean, const T* variance, const T* weight, const T* bias, T* y, BatchNormLayout layout,
             double eps) {
  const bool packed = cuda::are_rows_of_packs(layout.positions, x, y);
  cuda::with_plane_packs<T>(layout.positions, packed, [&](auto threads, auto n, int64_t chunks) {
    cuda::launch("batch_norm_eval", forward_planes<threads(), n(), T>,
                 cuda::Grid(layout.samples * layout.channels * chunks, threads()), x, mean, variance, weight, bias, y,
                 layout, static_cast<Accumulator<T>>(eps));
  });
}

template <class T>
void backward(const T* x, const T* mean, const T* variance, const T* weight, const T* dy, T* dx,
              Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, BatchNormLayout layout, double eps) {
  const bool packed = cuda::are_rows_of_packs(layout.positions, x, dy, dx);
  cuda::with_row_packs<T>(layout.positions, packed, [&](auto threads, auto n) {
    cuda::launch("batch_norm_eval backward", backward_planes<threads(), n(), T>,
                 cuda::Grid(layout.samples * layout.channels, threads()), x, mean, variance, weight, dy, dx,
                 dweight_parts, dbias_parts, layout, static_cast<Accumulator<T>>(eps));
  });
}

TERRACE_REGISTER_FLOATS(batch_norm_forward, forward);
TERRACE_REGISTER_FLOATS(batch_norm_backward, backward);

}  // namespace
}  // namespace terrace
