// The backend "cuda-host": memory like the CPU's, counted separately; kernels run in the executor.
#include <cstring>

#include "cuda/executor/guarded_memory.h"
#include "cuda/host/recording.h"
#include "tensor/device/device_memory.h"

namespace terrace::cuda {
namespace {

void copy_to_device(void* to, const void* from, size_t bytes) {
  refuse_while_recording("copying from the host");
  const executor::MemoryOpen open;
  if (bytes > 0) { std::memcpy(to, from, bytes); }
}
void copy_to_host(void* to, const void* from, size_t bytes) {
  refuse_while_recording("copying to the host");
  const executor::MemoryOpen open;
  if (bytes > 0) { std::memcpy(to, from, bytes); }
}
void zero_bytes(void* to, size_t bytes) {
  const auto work = [to, bytes] {
    const executor::MemoryOpen open;
    if (bytes > 0) { std::memset(to, 0, bytes); }
  };
  if (!keep_while_recording(work)) { work(); }
}

}  // namespace

extern "C" void terrace_start_backend(int) {
  DeviceMemory memory = device_memory(kCpu);
  executor::guard(memory);
  memory.to_device = copy_to_device;
  memory.to_host = copy_to_host;
  memory.zero = zero_bytes;
  memory.synchronize = [] { refuse_while_recording("waiting for the device"); };
  set_device_memory(DeviceType::kCudaHost, memory);
  provide_graphs();
}

}  // namespace terrace::cuda
