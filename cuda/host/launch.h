// A kernel's launch on cuda-host; kernels call launch() of cuda/device/launch.h.
#pragma once

#include <type_traits>

#include "cuda/executor/executor.h"
#include "cuda/host/recording.h"

namespace terrace::cuda {

/// Runs the kernel in the executor before it returns, or keeps the launch with copies of its arguments while a graph is
/// recorded. There is at least one block.
template <class... Parameters>
void launch_kernel(const char* name, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes,
                   std::type_identity_t<Parameters>... arguments) {
  const auto work = [=] { executor::run(name, blocks, threads, shared_bytes, [&] { kernel(arguments...); }); };
  if (!keep_while_recording(work)) { work(); }
}

}  // namespace terrace::cuda
