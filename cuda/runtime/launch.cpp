#include "cuda/runtime/launch.h"

#include "cuda/runtime/error.h"
#include "cuda/runtime/range.h"
#include "cuda/runtime/stream.h"

namespace terrace::cuda {

void launch_untyped(const char* name, const void* kernel, dim3 blocks, dim3 threads, size_t shared_bytes,
                    void** arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;  // what every kernel may use
  Range range(name);
  cudaError_t status = cudaSuccess;
  if (shared_bytes > kWithoutAsking) {
    status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernel(kernel, blocks, threads, arguments, shared_bytes, current_stream().get());
  }
  if (status == cudaSuccess) { status = range.finish(); }
  check_kernel(status, name, blocks, threads, shared_bytes);
}

}  // namespace terrace::cuda
