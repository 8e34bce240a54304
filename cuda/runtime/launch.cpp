#include "cuda/device/launch.h"

#include "cuda/runtime/error.h"
#include "cuda/runtime/range.h"
#include "cuda/runtime/stream.h"

namespace terrace::cuda {

void launch_raw(const char* name, const void* kernel, const Grid& grid, void** arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;
  Range range(name);
  cudaError_t status = cudaSuccess;
  if (grid.shared_bytes > kWithoutAsking) {
    status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernel(kernel, grid.blocks, grid.threads, arguments, grid.shared_bytes, current_stream().get());
  }
  if (status == cudaSuccess) { status = range.finish(); }
  check_kernel(status, name, grid.blocks, grid.threads, grid.shared_bytes);
}

}  // namespace terrace::cuda
