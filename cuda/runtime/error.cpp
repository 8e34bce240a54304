#include "cuda/runtime/error.h"

#include <string>

#include "tensor/base/error.h"

namespace terrace::cuda {
namespace {

const char* hint(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "; a smaller batch needs less";
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return "; use --device cpu";
    case cudaErrorNoKernelImageForDevice:
      return "; the library is built for sm_80, sm_90a and later GPUs by PTX";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
      return "; TERRACE_SYNC=1 names the kernel";
    default:
      return "";
  }
}

std::string reason(cudaError_t status) {
  return cat(cudaGetErrorString(status), " (", static_cast<int>(status), ")", hint(status));
}

}  // namespace

void check(cudaError_t status, const char* statement) {
  if (status != cudaSuccess) { throw DeviceError(cat(statement, " failed: ", reason(status))); }
}

void check_kernel(cudaError_t status, const char* name, dim3 blocks, dim3 threads, size_t shared_bytes) {
  if (status == cudaSuccess) { return; }
  throw DeviceError(cat(name, "<<<(", blocks.x, ",", blocks.y, ",", blocks.z, "), (", threads.x, ",", threads.y, ",",
                        threads.z, "), ", shared_bytes, ">>> failed: ", reason(status)));
}

}  // namespace terrace::cuda
