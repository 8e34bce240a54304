// The backend "cuda": finds the GPU and sets the functions of its memory.
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/nccl.h"
#include "cuda/runtime/stream.h"
#include "tensor/base/error.h"
#include "tensor/device/device_memory.h"

namespace terrace::cuda {
namespace {

void* allocate_bytes(size_t bytes) {
  current_stream();
  void* block = nullptr;
  const cudaError_t status = cudaMalloc(&block, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // resets the error: the allocator empties its cache and tries again
    return nullptr;
  }
  check(status, "cudaMalloc(&block, bytes)");
  return block;
}

/// When the call returns the driver has read all of memory that is not pinned, so that the caller may reuse it.
void copy_to_device(void* to, const void* from, size_t bytes) {
  refuse_while_recording("copying from the host");
  if (bytes > 0) { TERRACE_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, current_stream().get())); }
}

void copy_to_host(void* to, const void* from, size_t bytes) {
  refuse_while_recording("copying to the host");
  if (bytes == 0) { return; }
  TERRACE_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, current_stream().get()));
  current_stream().synchronize();
}

void synchronize() {
  refuse_while_recording("waiting for the device");
  current_stream().synchronize();
}

void zero_bytes(void* to, size_t bytes) {
  if (bytes > 0) { TERRACE_CUDA(cudaMemsetAsync(to, 0, bytes, current_stream().get())); }
}

}  // namespace

extern "C" void terrace_start_backend(int index) {
  try {
    select_gpu(index);
  } catch (const DeviceError& error) {
    const std::string text = error.what();
    throw DeviceError(text.rfind("device ", 0) == 0 ? text : cat("device cuda: ", text));
  }
  set_device_memory(DeviceType::kCuda, {.allocate = allocate_bytes,
                                        .release = [](void* block) { cudaFree(block); },
                                        .to_device = copy_to_device,
                                        .to_host = copy_to_host,
                                        .zero = zero_bytes,
                                        .synchronize = synchronize});
  provide_graphs();
  provide_communicator();
}

}  // namespace terrace::cuda
