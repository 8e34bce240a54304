// The device that this library's code computes on. The sources of cuda/device, cuda/kernels and cuda/libraries are
// compiled once for each device of CUDA's kernels.
#pragma once

#include "tensor/device/device.h"

namespace terrace::cuda {

#if defined(TERRACE_CUDA_HOST)
inline constexpr Device kThisDevice{DeviceType::kCudaHost, 0};
#else
inline constexpr Device kThisDevice{DeviceType::kCuda, 0};
#endif

}  // namespace terrace::cuda
