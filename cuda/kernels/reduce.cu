// A block reduces a range of rows (a shard) of up to 32 columns; a second kernel combines the shards. Both orders
// follow from the extents alone.
#include "tensor/kernels/reduce.h"

#include "cuda/device/collectives.h"
#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kShardRows = 4096;
constexpr int64_t kMaxShards = 256;

struct Value {
  template <class A>
  __device__ A operator()(A v) const {
    return v;
  }
};
struct Squared {
  template <class A>
  __device__ A operator()(A v) const {
    return v * v;
  }
};
struct IsNan {
  template <class A>
  __device__ A operator()(A v) const {
    return v != v ? A(1) : A(0);
  }
};

/// Sums within a thread are in T's accumulator, between threads in f64.
template <class T>
struct Sum {
  using Part = double;
  using Combine = cuda::Plus;
  static __device__ Accumulator<T> identity() { return 0; }
};
template <class T>
struct Max {
  using Part = Accumulator<T>;
  using Combine = cuda::Largest;
  static __device__ Accumulator<T> identity() { return -std::numeric_limits<Accumulator<T>>::infinity(); }
};

struct Extents {
  int64_t A, R, C, shards, shard_rows;
};

/// The block's threads are kThreads / Width rows of Width columns (1 or 32). blockIdx.x: array and block of columns,
/// the latter the faster; y: shard.
template <int Width, class How, class Map, class T>
__global__ void __launch_bounds__(kThreads) reduce_shard(const T* x, typename How::Part* parts, Extents e) {
  using Part = typename How::Part;
  constexpr int kRows = kThreads / Width;
  typename How::Combine combine;
  const int column = static_cast<int>(threadIdx.x) % Width, row = static_cast<int>(threadIdx.x) / Width;
  const int64_t blocks = (e.C + Width - 1) / Width;
  const int64_t a = blockIdx.x / blocks, c = blockIdx.x % blocks * Width + column;
  const int64_t begin = blockIdx.y * e.shard_rows;
  const int64_t end = begin + e.shard_rows < e.R ? begin + e.shard_rows : e.R;
  Accumulator<T> own = How::identity();
  if (c < e.C) {
    for (int64_t r = begin + row; r < end; r += kRows) {
      own = combine(own, Map{}(static_cast<Accumulator<T>>(x[(a * e.R + r) * e.C + c])));
    }
  }
  TERRACE_SHARED(tile, Part[kThreads]);
  tile[threadIdx.x] = static_cast<Part>(own);
  __syncthreads();
  for (int half = kRows / 2; half > 0; half /= 2) {
    if (row < half) { tile[threadIdx.x] = combine(tile[threadIdx.x], tile[threadIdx.x + half * Width]); }
    __syncthreads();
  }
  if (row == 0 && c < e.C) { parts[(blockIdx.y * e.A + a) * e.C + c] = tile[column]; }
}

template <class How, class Out>
struct CombineShards {
  const typename How::Part* parts;
  Out* y;
  int64_t count, shards;
  template <int N>
  __device__ void run(int64_t first) const {
    typename How::Combine combine;
#pragma unroll
    for (int64_t i = first; i < first + N; ++i) {
      typename How::Part total = parts[i];
      for (int64_t s = 1; s < shards; ++s) { total = combine(total, parts[s * count + i]); }
      y[i] = static_cast<Out>(total);
    }
  }
};

template <class How, class Map, class T, class Out>
void reduce(const char* name, const T* x, Out* y, int64_t A, int64_t R, int64_t C) {
  if (A * C == 0) { return; }
  const int64_t wanted = cuda::blocks_for(R, kShardRows);
  const int64_t shards = wanted < 1 ? 1 : wanted < kMaxShards ? wanted : kMaxShards;
  const Extents e{A, R, C, shards, cuda::blocks_for(R, shards)};
  const cuda::Scratch scratch(static_cast<size_t>(shards * A * C) * sizeof(typename How::Part));
  auto* parts = scratch.as<typename How::Part>();
  const int width = C == 1 ? 1 : 32;
  const dim3 blocks(static_cast<unsigned>(A * cuda::blocks_for(C, width)), static_cast<unsigned>(shards));
  if (width == 1) {
    cuda::launch(name, reduce_shard<1, How, Map, T>, cuda::Grid(blocks, dim3(kThreads)), x, parts, e);
  } else {
    cuda::launch(name, reduce_shard<32, How, Map, T>, cuda::Grid(blocks, dim3(kThreads)), x, parts, e);
  }
  cuda::launch_each(name, A * C, CombineShards<How, Out>{parts, y, A * C, shards});
}

template <class T>
void sum_middle(const T* x, T* y, int64_t A, int64_t R, int64_t C) {
  reduce<Sum<T>, Value>("sum", x, y, A, R, C);
}
template <class T>
void max_middle(const T* x, T* y, int64_t A, int64_t R, int64_t C) {
  reduce<Max<T>, Value>("max", x, y, A, R, C);
}

/// Sum of Map over all elements, on the host.
template <class Map, class T>
double total_of(const char* name, const T* x, int64_t count) {
  const cuda::Scratch scratch(sizeof(double));
  reduce<Sum<T>, Map>(name, x, scratch.as<double>(), 1, count, 1);
  double total = 0;
  cuda::read_back(&total, scratch.as<double>(), sizeof total);
  return total;
}
template <class T>
double squares(const T* x, int64_t count) {
  return total_of<Squared>("squared_norm", x, count);
}
template <class T>
bool find_nan(const T* x, int64_t count) {
  return total_of<IsNan>("has_nan", x, count) > 0;
}

TERRACE_REGISTER_FLOATS(reduce_sum, sum_middle);
TERRACE_REGISTER_FLOATS(reduce_max, max_middle);
TERRACE_REGISTER_FLOATS(reduce_squares, squares);
TERRACE_REGISTER_FLOATS(any_nan, find_nan);

}  // namespace
}  // namespace terrace
