#include "cuda/libraries/handles.h"

#include "cuda/runtime/error.h"
#include "cuda/runtime/stream.h"
#include "tensor/base/error.h"

namespace terrace::cuda {

void check(cublasStatus_t status, const char* statement) {
  if (status == CUBLAS_STATUS_SUCCESS) { return; }
  throw DeviceError(cat(statement, " failed: ", cublasLtGetStatusString(status), " (", static_cast<int>(status), ")"));
}

void check(cudnnStatus_t status, const char* statement) {
  if (status == CUDNN_STATUS_SUCCESS) { return; }
  throw DeviceError(cat(statement, " failed: ", cudnnGetErrorString(status), " (", static_cast<int>(status), ")"));
}

cublasLtHandle_t cublaslt() {
  static const cublasLtHandle_t handle = [] {
    current_stream();
    cublasLtHandle_t made = nullptr;
    TERRACE_CUDA(cublasLtCreate(&made));
    return made;
  }();
  return handle;
}

cudnnHandle_t cudnn() {
  static const cudnnHandle_t handle = [] {
    cudnnHandle_t made = nullptr;
    const cudaStream_t stream = current_stream().get();
    TERRACE_CUDA(cudnnCreate(&made));
    TERRACE_CUDA(cudnnSetStream(made, stream));
    return made;
  }();
  return handle;
}

}  // namespace terrace::cuda
