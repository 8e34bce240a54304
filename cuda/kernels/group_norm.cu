// A group's elements are contiguous, but a decoder's groups are few and large: one image of 256 x 256 has 32, of
// hundreds of thousands of elements. So each is cut into shards, each measured by one block: its mean and the sum of
// squared deviations from it, for which the shard is read a second time, from the caches. Every block that normalises
// combines the shards' statistics in their order (Chan, Golub and LeVeque 1979): nothing cancels, and memory is read
// twice altogether.
// Backward needs two sums of each channel, which are the gradients of weight and bias too: one block sums a plane.
#include "tensor/kernels/group_norm.h"

#include "cuda/device/planes.h"
#include "tensor/base/formulas.h"

namespace terrace {
namespace {

constexpr int64_t kShard = 16384;  // elements: 32 to 128 KiB, which stay cached for the second reading
constexpr int64_t kMaxShards = 64;

template <class A>
struct Shard {
  A mean, squares;  // squares = the sum of (x - mean)^2
};

struct Shards {
  int64_t size, length, count;  // elements of a group, of a shard; shards of a group

  explicit Shards(int64_t group_size) : size(group_size) {
    const int64_t least = cuda::blocks_for(size, kMaxShards);
    length = cuda::blocks_for(least > kShard ? least : kShard, 16) * 16;  // whole packs
    count = cuda::blocks_for(size, length);
  }
  __device__ int64_t elements(int64_t shard) const { return shard + 1 < count ? length : size - shard * length; }
};

template <int Threads, int N, class T>
__global__ void __launch_bounds__(Threads) measure_shards(const T* x, Shard<Accumulator<T>>* parts, Shards shards) {
  using A = Accumulator<T>;
  const int64_t shard = blockIdx.x % shards.count, elements = shards.elements(shard);
  x += blockIdx.x / shards.count * shards.size + shard * shards.length;
  A sum = 0;
  cuda::for_row_packs<Threads, N>(elements, [&](int64_t i) {
    const auto pack = cuda::load_pack<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) sum += static_cast<A>(pack.v[k]);
  });
  const A mean = cuda::block_sum<Threads>(sum) / A(elements);
  A squares = 0;
  cuda::for_row_packs<Threads, N>(elements, [&](int64_t i) {
    const auto pack = cuda::load_pack<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A d = static_cast<A>(pack.v[k]) - mean;
      squares += d * d;
    }
  });
  squares = cuda::block_sum<Threads>(squares);
  if (threadIdx.x == 0) { parts[blockIdx.x] = {mean, squares}; }
}

/// Mean and squares of a group, computed by every warp for itself; all lanes of the warp get them.
template <class A>
__device__ Shard<A> join(const Shard<A>* parts, const Shards& shards) {
  const int64_t lane = threadIdx.x % cuda::kWarpSize;
  A sum = 0;
  for (int64_t s = lane; s < shards.count; s += cuda::kWarpSize) { sum += A(shards.elements(s)) * parts[s].mean; }
  const A mean = cuda::warp_reduce(sum, cuda::Plus{}) / A(shards.size);
  A squares = 0;
  for (int64_t s = lane; s < shards.count; s += cuda::kWarpSize) {
    const A d = parts[s].mean - mean;
    squares += parts[s].squares + A(shards.elements(s)) * d * d;
  }
  return {mean, cuda::warp_reduce(squares, cuda::Plus{})};
}

/// What one channel of one sample does to its elements.
template <NormActivation activation, class A>
struct Channel {
  A mean, inverse, weight, bias;

  template <class T>
  __device__ Channel(const T* weights, const T* biases, A mean_, A inverse_, int64_t c)
      : mean(mean_),
        inverse(inverse_),
        weight(weights ? static_cast<A>(weights[c]) : A(1)),
        bias(biases ? static_cast<A>(biases[c]) : A(0)) {}
  __device__ A normalized(A x) const { return (x - mean) * inverse; }
  __device__ A value(A x) const {
    const A z = normalized(x) * weight + bias;
    return activation == NormActivation::kSilu ? Silu{}.f(z) : z;
  }
  /// The gradient at the normalisation's own output.
  __device__ A gradient(A x, A dy) const {
    return activation == NormActivation::kSilu ? dy * Silu{}.df(normalized(x) * weight + bias, A(0)) : dy;
  }
};

template <int Threads, int N, NormActivation activation, class T>
__global__ void __launch_bounds__(Threads)
    normalize_planes(const T* x, const T* weight, const T* bias, T* y, Accumulator<T>* mean,
                     Accumulator<T>* inverse_std, GroupNormLayout layout, Accumulator<T> eps,
                     const Shard<Accumulator<T>>* parts, Shards shards) {
  using A = Accumulator<T>;
  const cuda::PlaneChunk<Threads, N> at(layout.positions);
  const int64_t width = layout.channels / layout.groups, group = at.plane / width;
  const Shard<A> whole = join(parts + group * shards.count, shards);
  const A inverse = A(1) / math::sqrt(whole.squares / A(shards.size) + eps);
  if (threadIdx.x == 0 && at.plane % width == 0 && at.begin == 0) {
    mean[group] = whole.mean;
    inverse_std[group] = inverse;
  }
  const Channel<activation, A> channel(weight, bias, whole.mean, inverse, at.plane % layout.channels);
  at.for_packs([&](int64_t i) {
    const auto in = cuda::load_pack<N>(x + i);
    cuda::Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) out.v[k] = static_cast<T>(channel.value(static_cast<A>(in.v[k])));
    cuda::store_pack(y + i, out);
  });
}

template <int Threads, int N, NormActivation activation, class T>
__global__ void __launch_bounds__(Threads)
    sum_planes(const T* x, const T* weight, const T* bias, const Accumulator<T>* mean,
               const Accumulator<T>* inverse_std, const T* dy, Accumulator<T>* dweight_parts,
               Accumulator<T>* dbias_parts, GroupNormLayout layout) {
  using A = Accumulator<T>;
  const int64_t plane = blockIdx.x, group = plane / (layout.channels / layout.groups);
  const Channel<activation, A> channel(weight, bias, mean[group], inverse_std[group], plane % layout.channels);
  x += plane * layout.positions;
  dy += plane * layout.positions;
  A dbias = 0, dweight = 0;
  cuda::for_row_packs<Threads, N>(layout.positions, [&](int64_t i) {
    const auto in = cuda::load_pack<N>(x + i), gradient = cuda::load_pack<N>(dy + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A value = static_cast<A>(in.v[k]), d = channel.gradient(value, static_cast<A>(gradient.v[k]));
      dbias += d;
      dweight += d * channel.normalized(value);
    }
  });
  dbias = cuda::block_sum<Threads>(dbias);
  dweight = cuda::block_sum<Threads>(dweight);
  if (threadIdx.x != 0) { return; }
  dbias_parts[plane] = dbias;
  dweight_parts[plane] = dweight;
}

template <int Threads, int N, NormActivation activation, class T>
__global__ void __launch_bounds__(Threads)
    backward_planes(const T* x, const T* weight, const T* bias, const Accumulator<T>* mean,
                    const Accumulator<T>* inverse_std, const T* dy, T* dx, const Accumulator<T>* dweight_parts,
                    const Accumulator<T>* dbias_parts, GroupNormLayout layout) {
  using A = Accumulator<T>;
  const cuda::PlaneChunk<Threads, N> at(layout.positions);
  const int64_t width = layout.channels / layout.groups, group = at.plane / width;
  const int64_t first = group % layout.groups * width;  // the group's first channel
  A sum = 0, dot = 0;  // of the gradient at the normalised value, alone and with that value, over the group
  for (int64_t k = threadIdx.x % cuda::kWarpSize; k < width; k += cuda::kWarpSize) {
    const A w = weight ? static_cast<A>(weight[first + k]) : A(1);
    sum += dbias_parts[group * width + k] * w;
    dot += dweight_parts[group * width + k] * w;
  }
  sum = cuda::warp_reduce(sum, cuda::Plus{}) / A(width * layout.positions);
  dot = cuda::warp_reduce(dot, cuda::Plus{}) / A(width * layout.positions);
  const Channel<activation, A> channel(weight, bias, mean[group], inverse_std[group], at.plane % layout.channels);
  at.for_packs([&](int64_t i) {
    const auto in = cuda::load_pack<N>(x + i), gradient = cuda::load_pack<N>(dy + i);
    cuda::Pack<T, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const A value = static_cast<A>(in.v[k]);
      const A d = channel.gradient(value, static_cast<A>(gradient.v[k])) * channel.weight;
      out.v[k] = static_cast<T>(channel.inverse * (d - sum - channel.normalized(value) * dot));
    }
    cuda::store_pack(dx + i, out);
  });
}

/// Calls f(activation) with the activation as a constant.
template <class F>
void with_activation(NormActivation activation, F&& f) {
  if (activation == NormActivation::kSilu) {
    f(std::integral_constant<NormActivation, NormActivation::kSilu>{});
  } else {
    f(std::integral_constant<NormActivation, NormActivation::kNone>{});
  }
}

template <class T>
void forward(const T* x, const T* weight, const T* bias, T* y, Accumulator<T>* mean, Accumulator<T>* inverse_std,
             GroupNormLayout layout, double eps, NormActivation activation) {
  using A = Accumulator<T>;
  const int64_t groups = layout.samples * layout.groups, planes = layout.samples * layout.channels;
  const Shards shards(layout.channels / layout.groups * layout.positions);
  const cuda::Scratch scratch(static_cast<size_t>(groups * shards.count) * sizeof(Shard<A>));
  auto* parts = scratch.as<Shard<A>>();
  const bool whole_packs = cuda::are_rows_of_packs(shards.size, x);
  cuda::with_row_packs<T>(shards.size < shards.length ? shards.size : shards.length, whole_packs,
                          [&](auto threads, auto n) {
                            cuda::launch("group_norm statistics", measure_shards<threads(), n(), T>,
                                         cuda::Grid(groups * shards.count, threads()), x, parts, shards);
                          });
  with_activation(activation, [&](auto act) {
    cuda::with_plane_packs<T>(
        layout.positions, cuda::are_rows_of_packs(layout.positions, x, y), [&](auto threads, auto n, int64_t chunks) {
          cuda::launch("group_norm", normalize_planes<threads(), n(), act(), T>, cuda::Grid(planes * chunks, threads()),
                       x, weight, bias, y, mean, inverse_std, layout, static_cast<A>(eps), parts, shards);
        });
  });
}

template <class T>
void backward(const T* x, const T* weight, const T* bias, const Accumulator<T>* mean, const Accumulator<T>* inverse_std,
              const T* dy, T* dx, Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, GroupNormLayout layout,
              NormActivation activation) {
  const int64_t planes = layout.samples * layout.channels;
  with_activation(activation, [&](auto act) {
    const bool packed = cuda::are_rows_of_packs(layout.positions, x, dy, dx);
    cuda::with_row_packs<T>(layout.positions, packed, [&](auto threads, auto n) {
      cuda::launch("group_norm sums", sum_planes<threads(), n(), act(), T>, cuda::Grid(planes, threads()), x, weight,
                   bias, mean, inverse_std, dy, dweight_parts, dbias_parts, layout);
    });
    cuda::with_plane_packs<T>(layout.positions, packed, [&](auto threads, auto n, int64_t chunks) {
      cuda::launch("group_norm backward", backward_planes<threads(), n(), act(), T>,
                   cuda::Grid(planes * chunks, threads()), x, weight, bias, mean, inverse_std, dy, dx, dweight_parts,
                   dbias_parts, layout);
    });
  });
}

TERRACE_REGISTER_FLOATS(group_norm_forward, forward);
TERRACE_REGISTER_FLOATS(group_norm_backward, backward);

}  // namespace
}  // namespace terrace
