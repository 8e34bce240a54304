// What every file of cuda/kernels/ includes. The same source is compiled twice: by nvcc for GPUs, and as plain C++ for
// the executor (with TERRACE_CUDA_HOST defined), where the tests run it. Beyond CUDA's own names a kernel uses
//
//   TERRACE_SHARED(tile, float[32][33]);            // __shared__ float tile[32][33];
//   TERRACE_DYNAMIC_SHARED(bytes, unsigned char);   // the launch's shared memory, 1024-byte aligned
//
// and it is launched by launch() of cuda/device/launch.h. docs/cuda.md has the recipe.
#pragma once

#if defined(TERRACE_CUDA_HOST)
#include "cuda/executor/intrinsics.h"
#else
#include <cuda_runtime.h>

#include <type_traits>

#define TERRACE_SHARED(name, ...) __shared__ ::std::type_identity_t<__VA_ARGS__> name
#define TERRACE_DYNAMIC_SHARED(name, type)                                  \
  extern __shared__ __align__(1024) unsigned char terrace_dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(terrace_dynamic_shared)
#endif

#include "cuda/device/launch.h"
#include "tensor/base/dtype.h"
#include "tensor/base/host_device.h"

namespace terrace::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr int kWarpSize = 32;

/// N values that are loaded and stored as one access of up to 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

/// How many T fill 16 bytes.
template <class T>
inline constexpr int kPackOf = 16 / static_cast<int>(sizeof(T));

template <class... T>
bool are_pack_aligned(const T*... pointers) {
  return (... && (reinterpret_cast<uintptr_t>(pointers) % 16 == 0));
}

}  // namespace terrace::cuda
