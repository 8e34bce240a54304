// A kernel's launch on a GPU; kernels call launch() of cuda/device/launch.h.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>

namespace terrace::cuda {

/// Raises the kernel's limit of dynamic shared memory where it needs more than 48 KiB, launches on current_stream(),
/// and throws DeviceError where either fails.
void launch_untyped(const char* name, const void* kernel, dim3 blocks, dim3 threads, size_t shared_bytes,
                    void** arguments);

/// There is at least one block.
template <class... Parameters>
void launch_kernel(const char* name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes,
                   std::type_identity_t<Parameters>... arguments) {
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  launch_untyped(name, reinterpret_cast<const void*>(kernel), blocks, threads, shared_bytes, addresses);
}

}  // namespace terrace::cuda
