// CUDA's status codes as DeviceErrors: `cudaMalloc(&p, n) failed: out of memory (2); a smaller batch needs less`.
#pragma once

#include <cuda_runtime.h>

namespace terrace::cuda {

/// Throws DeviceError unless `status` is success.
void check(cudaError_t status, const char* statement);
/// The same, knowing the kernel that was launched.
void check_kernel(cudaError_t status, const char* name, dim3 blocks, dim3 threads, size_t shared_bytes);

#define TERRACE_CUDA(...) ::terrace::cuda::check((__VA_ARGS__), #__VA_ARGS__)

}  // namespace terrace::cuda
