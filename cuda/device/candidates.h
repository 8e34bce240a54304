// The best of many values and its index: the lower index wins among equals, whatever the order of comparisons.
#pragma once

#include "cuda/device/kernel.h"
#include "tensor/kernels/argmax.h"

namespace terrace::cuda {

inline constexpr int64_t kNoIndex = -1;

template <class T>
struct Candidate {
  T value{};
  int64_t index = kNoIndex;
};

template <class T>
__device__ Candidate<T> better(const Candidate<T>& a, const Candidate<T>& b, Extreme extreme) {
  if (b.index == kNoIndex) { return a; }
  if (a.index == kNoIndex || beats(b.value, a.value, extreme)) { return b; }
  return b.index < a.index && !beats(a.value, b.value, extreme) ? b : a;
}

/// The best over each group of `Lanes` neighbouring lanes. All lanes of the warp must call it; each gets its group's.
template <int Lanes, class T>
__device__ Candidate<T> best_of_lanes(Candidate<T> own, Extreme extreme) {
#pragma unroll
  for (int bits = Lanes / 2; bits > 0; bits /= 2) {
    const Candidate<T> other{__shfl_xor_sync(kFullWarp, own.value, bits), __shfl_xor_sync(kFullWarp, own.index, bits)};
    own = better(own, other, extreme);
  }
  return own;
}

template <int Threads, class T>
__device__ Candidate<T> best_of_block(Candidate<T> own, Extreme extreme) {
  constexpr int kWarps = Threads / kWarpSize;
  own = best_of_lanes<kWarpSize>(own, extreme);
  if constexpr (kWarps == 1) { return own; }
  TERRACE_SHARED(values, T[kWarps]);
  TERRACE_SHARED(indices, int64_t[kWarps]);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  if (threadIdx.x % kWarpSize == 0) {
    values[warp] = own.value;
    indices[warp] = own.index;
  }
  __syncthreads();
  Candidate<T> best{values[0], indices[0]};
#pragma unroll
  for (int i = 1; i < kWarps; ++i) { best = better(best, Candidate<T>{values[i], indices[i]}, extreme); }
  __syncthreads();
  return best;
}

}  // namespace terrace::cuda
