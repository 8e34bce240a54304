// Memory of cuda-host that the host cannot touch, as it cannot touch a GPU's. With TERRACE_GUARD=1 in the environment
// it lies in pages that are open only while a kernel or a copy runs. Host code that reads or writes a tensor there
// directly, which would be a fault with a GPU's memory, then ends the process with a line and the stack. Without
// TERRACE_GUARD the memory is the CPU's.
#pragma once

#include "tensor/device/device_memory.h"

namespace terrace::executor {

/// Replaces the functions that allocate and release by those of guarded memory, where the environment asks for it.
void guard(DeviceMemory& memory);

/// Guarded memory is open while one lives, on any thread.
class MemoryOpen {
 public:
  MemoryOpen();
  ~MemoryOpen();
  MemoryOpen(const MemoryOpen&) = delete;
  MemoryOpen& operator=(const MemoryOpen&) = delete;
};

}  // namespace terrace::executor
