// The backend "cuda-host": memory like the CPU's, counted by itself, kernels in the executor.
#include "cuda/backend_device.h"
#include "tensor/device_memory.h"

namespace terrace::cuda {

extern "C" void terrace_start_backend(int) { set_device_memory(kThisDevice.type, device_memory(kCpu)); }

}  // namespace terrace::cuda
