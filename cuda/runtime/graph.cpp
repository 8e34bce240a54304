#include "cuda/runtime/graph.h"

#include <cuda_runtime.h>

#include "cuda/runtime/error.h"
#include "cuda/runtime/stream.h"
#include "tensor/device/device_graph.h"

namespace terrace::cuda {
namespace {

/// The capture is relaxed: cudaMalloc is allowed meanwhile, and only the work of the stream is captured.
bool is_recording() {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  TERRACE_CUDA(cudaStreamIsCapturing(current_stream().get(), &status));
  return status != cudaStreamCaptureStatusNone;
}

void begin() { TERRACE_CUDA(cudaStreamBeginCapture(current_stream().get(), cudaStreamCaptureModeRelaxed)); }

void* end() {
  cudaGraph_t graph = nullptr;
  TERRACE_CUDA(cudaStreamEndCapture(current_stream().get(), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate(&executable, graph, 0)");
  return executable;
}

void abandon() {
  if (is_recording()) {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(current_stream().get(), &graph);  // an error here belongs to the work that is dropped
    if (graph != nullptr) { cudaGraphDestroy(graph); }
  }
  cudaGetLastError();
}

void replay(void* graph) { TERRACE_CUDA(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), current_stream().get())); }

void destroy(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

}  // namespace

void refuse_while_recording(const char* what) {
  if (is_recording()) { throw NotRecordable(cat(what, " cannot be recorded")); }
}

void provide_graphs() { set_device_graphs(DeviceType::kCuda, {begin, end, abandon, replay, destroy}); }

}  // namespace terrace::cuda
