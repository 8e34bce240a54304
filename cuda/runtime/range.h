// What every piece of work for the GPU is wrapped in: an NVTX range of its name, and with TERRACE_SYNC=1 a wait at its
// end, so that a fault is reported by the work that it belongs to.
#pragma once

#include <cuda_runtime.h>

namespace terrace::cuda {

class Range {
 public:
  explicit Range(const char* name);
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  /// Success, or with TERRACE_SYNC=1 what waiting for the stream gives. Not while a graph is captured.
  cudaError_t finish();
};

}  // namespace terrace::cuda
