// CUDA's keywords, built-in variables and device functions for the executor: what nvcc and cuda_runtime.h define when
// kernels are compiled for a GPU. Kernels include cuda/device/kernel.h, which includes one or the other. Only what
// kernels of this project use is here.
#pragma once

#include <cmath>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda/executor/executor.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::terrace::executor::position().thread)
#define blockIdx (::terrace::executor::position().block)
#define blockDim (::terrace::executor::position().block_dim)
#define gridDim (::terrace::executor::position().grid_dim)

#define TERRACE_SHARED(name, ...)                                                                     \
  static const char name##_key_ = 0;                                                                  \
  auto& name = *static_cast<std::type_identity_t<__VA_ARGS__>*>(::terrace::executor::shared_variable( \
      &name##_key_, sizeof(std::type_identity_t<__VA_ARGS__>), alignof(std::type_identity_t<__VA_ARGS__>)))
#define TERRACE_DYNAMIC_SHARED(name, type) auto* name = static_cast<type*>(::terrace::executor::dynamic_shared())

namespace terrace::executor {

template <class T>
T lane_value(const LaneArguments& lane) {
  return *static_cast<const T*>(lane.operand);
}

/// What a lane brings to a shuffle: its value, and the lane that it reads from.
template <class T>
struct Shuffle {
  T value;
  int source;
};

template <class T>
void shuffle_lanes(const LaneArguments (&lanes)[32], unsigned mask) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) { continue; }
    const int source = static_cast<const Shuffle<T>*>(lanes[lane].operand)->source;
    // What a lane outside the mask would give is undefined on a GPU: here bytes 0xff, a NaN.
    T& result = *static_cast<T*>(lanes[lane].result);
    std::memset(static_cast<void*>(&result), 0xff, sizeof(T));
    if (mask >> source & 1) { result = static_cast<const Shuffle<T>*>(lanes[source].operand)->value; }
  }
}

template <class T>
T shuffle(unsigned mask, T value, int source, const char* name, std::source_location at) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move words of 4 or 8 bytes");
  const Shuffle<T> operand{value, source};
  T result;
  warp_collective(mask, shuffle_lanes<T>, &operand, &result, name, at);
  return result;
}

inline void vote_lanes(const LaneArguments (&lanes)[32], unsigned mask) {
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1 && lane_value<bool>(lanes[lane])) { votes |= 1u << lane; }
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) { *static_cast<unsigned*>(lanes[lane].result) = votes; }
  }
}

inline unsigned vote(unsigned mask, bool predicate, const char* name, std::source_location at) {
  unsigned votes = 0;
  warp_collective(mask, vote_lanes, &predicate, &votes, name, at);
  return votes;
}

inline void no_exchange(const LaneArguments (&)[32], unsigned) {}

template <class T, class F>
T atomically(T* address, F&& update) {
  interleave();
  const T old = *address;
  *address = update(old);
  return old;
}

}  // namespace terrace::executor

// --- Barriers --------------------------------------------------------------------------------------------------------

inline void __syncthreads(std::source_location at = std::source_location::current()) {
  terrace::executor::block_barrier(false, at);
}
inline int __syncthreads_count(int predicate, std::source_location at = std::source_location::current()) {
  return terrace::executor::block_barrier(predicate != 0, at);
}
inline int __syncthreads_or(int predicate, std::source_location at = std::source_location::current()) {
  return terrace::executor::block_barrier(predicate != 0, at) != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location at = std::source_location::current()) {
  terrace::executor::warp_collective(mask, terrace::executor::no_exchange, nullptr, nullptr, "__syncwarp", at);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// --- Warps; `width` is 32 everywhere in this project -----------------------------------------------------------------

template <class T>
T __shfl_sync(unsigned mask, T value, int source, std::source_location at = std::source_location::current()) {
  return terrace::executor::shuffle(mask, value, source & 31, "__shfl_sync", at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, std::source_location at = std::source_location::current()) {
  return terrace::executor::shuffle(mask, value, terrace::executor::lane() ^ bits, "__shfl_xor_sync", at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, std::source_location at = std::source_location::current()) {
  const int lane = terrace::executor::lane(), from = lane + static_cast<int>(by);
  return terrace::executor::shuffle(mask, value, from < 32 ? from : lane, "__shfl_down_sync", at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, std::source_location at = std::source_location::current()) {
  const int lane = terrace::executor::lane(), from = lane - static_cast<int>(by);
  return terrace::executor::shuffle(mask, value, from >= 0 ? from : lane, "__shfl_up_sync", at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, std::source_location at = std::source_location::current()) {
  return terrace::executor::vote(mask, predicate != 0, "__ballot_sync", at);
}
inline int __any_sync(unsigned mask, int predicate, std::source_location at = std::source_location::current()) {
  return terrace::executor::vote(mask, predicate != 0, "__any_sync", at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location at = std::source_location::current()) {
  return terrace::executor::vote(mask, predicate != 0, "__all_sync", at) == mask;
}

// --- Atomics on integers: sums of floats would depend on the order ---------------------------------------------------

template <class T>
concept AtomicInteger = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

template <AtomicInteger T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T old) { return static_cast<T>(old + value); });
}
template <AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T old) { return old > value ? old : value; });
}
template <AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T old) { return old < value ? old : value; });
}
template <AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T old) { return static_cast<T>(old | value); });
}
template <AtomicInteger T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T) { return value; });
}
template <AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return terrace::executor::atomically(address, [&](T old) { return old == expected ? value : old; });
}

// --- Bits ------------------------------------------------------------------------------------------------------------

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
