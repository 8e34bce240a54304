#include "cuda/launch.h"

#include <nvtx3/nvToolsExt.h>

#include <cstdlib>
#include <string>

#include "cuda/runtime/error.h"
#include "cuda/runtime/stream.h"

namespace terrace::cuda {
namespace {

/// TERRACE_SYNC=1 in the environment.
bool waits_for_each() {
  static const bool waits = [] {
    const char* value = std::getenv("TERRACE_SYNC");
    return value != nullptr && std::string(value) == "1";
  }();
  return waits;
}

}  // namespace

void launch_raw(const char* name, const void* kernel, const Grid& grid, void** arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;
  nvtxRangePushA(name);
  const cudaStream_t stream = current_stream().get();
  cudaError_t status = cudaSuccess;
  if (grid.shared_bytes > kWithoutAsking) {
    status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernel(kernel, grid.blocks, grid.threads, arguments, grid.shared_bytes, stream);
  }
  if (status == cudaSuccess && waits_for_each()) status = cudaStreamSynchronize(stream);
  nvtxRangePop();
  check_kernel(status, name, grid.blocks, grid.threads, grid.shared_bytes);
}

}  // namespace terrace::cuda
