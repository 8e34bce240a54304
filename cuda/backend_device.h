// Which device the code of this library computes on: it is compiled once for each.
#pragma once

#include "tensor/device/device.h"

namespace terrace::cuda {

#if defined(TERRACE_CUDA_HOST)
inline constexpr Device kThisDevice{DeviceType::kCudaHost, 0};
#else
inline constexpr Device kThisDevice{DeviceType::kCuda, 0};
#endif

}  // namespace terrace::cuda
