// Reductions and scans over a warp and over a block, in an order that depends on the number of threads alone, so that
// results are the same bits every time. Every thread of the warp (block) must call them, and every one gets the result.
#pragma once

#include "cuda/device/kernel.h"

namespace terrace::cuda {

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// The larger one; NaN wins.
struct Largest {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return (a > b || a != a) ? a : b;
  }
};

/// Combines each group of `Lanes` neighbouring lanes, a power of two. All lanes of the warp must call it; each gets its
/// group's result.
template <int Lanes, class T, class Combine>
__device__ T lanes_reduce(T value, Combine combine) {
#pragma unroll
  for (int bits = Lanes / 2; bits > 0; bits /= 2) { value = combine(value, __shfl_xor_sync(kFullWarp, value, bits)); }
  return value;
}
template <class T, class Combine>
__device__ T warp_reduce(T value, Combine combine) {
  return lanes_reduce<kWarpSize>(value, combine);
}

/// `Threads` is the size of the one-dimensional block, a multiple of 32. The second barrier lets the next call
/// overwrite `parts`: no barrier is needed between two calls.
template <int Threads, class T, class Combine>
__device__ T block_reduce(T value, Combine combine) {
  static_assert(Threads % kWarpSize == 0 && Threads <= 1024);
  constexpr int kWarps = Threads / kWarpSize;
  value = warp_reduce(value, combine);
  if constexpr (kWarps == 1) { return value; }
  TERRACE_SHARED(parts, T[kWarps]);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  if (threadIdx.x % kWarpSize == 0) { parts[warp] = value; }
  __syncthreads();
  T total = parts[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) { total = combine(total, parts[i]); }
  __syncthreads();
  return total;
}

template <int Threads, class T>
__device__ T block_sum(T value) {
  return block_reduce<Threads>(value, Plus{});
}
template <int Threads, class T>
__device__ T block_max(T value) {
  return block_reduce<Threads>(value, Largest{});
}

/// The inclusive scan: the sum of the values of this thread and of those before it. `total` receives the block's sum.
/// No barrier is needed between two calls.
template <int Threads, class T>
__device__ T block_scan(T value, T& total) {
  static_assert(Threads % kWarpSize == 0 && Threads <= 1024);
  constexpr int kWarps = Threads / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
#pragma unroll
  for (int by = 1; by < kWarpSize; by *= 2) {
    const T other = __shfl_up_sync(kFullWarp, value, static_cast<unsigned>(by));
    if (lane >= by) { value += other; }
  }
  TERRACE_SHARED(parts, T[kWarps]);
  if (lane == kWarpSize - 1) { parts[warp] = value; }
  __syncthreads();
  T earlier_warps = 0;
  total = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    if (i == warp) { earlier_warps = total; }
    total += parts[i];
  }
  __syncthreads();
  return earlier_warps + value;
}

/// Calls f(threads of a block), a constant, for blocks that each work on a row of `cols` elements.
template <class F>
void with_row_threads(int64_t cols, F&& f) {
  if (cols <= 128) { return f(std::integral_constant<int, 32>{}); }
  if (cols <= 2048) { return f(std::integral_constant<int, 256>{}); }
  f(std::integral_constant<int, 1024>{});
}

}  // namespace terrace::cuda
