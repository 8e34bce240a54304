#include "cuda/runtime/range.h"

#include <nvtx3/nvToolsExt.h>

#include <cstdlib>
#include <string>

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

Range::Range(const char* name) { nvtxRangePushA(name); }
Range::~Range() { nvtxRangePop(); }

cudaError_t Range::finish() {
  if (!waits_for_each()) { return cudaSuccess; }
  const cudaStream_t stream = current_stream().get();
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  const cudaError_t status = cudaStreamIsCapturing(stream, &capturing);
  if (status != cudaSuccess || capturing != cudaStreamCaptureStatusNone) { return status; }
  return cudaStreamSynchronize(stream);
}

}  // namespace terrace::cuda
