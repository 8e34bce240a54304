// What a backend's memory can do. The CPU's is here; a backend that is loaded enters its own functions.
#pragma once

#include <cstddef>

#include "tensor/device/device.h"

namespace terrace {

struct DeviceMemory {
  void* (*allocate)(size_t bytes) = nullptr;  // null where there is no more
  void (*release)(void* block) = nullptr;
  /// Copies in the order of the device's work, and return when the memory of the host may be used again.
  void (*to_device)(void* to, const void* from, size_t bytes) = nullptr;
  void (*to_host)(void* to, const void* from, size_t bytes) = nullptr;
  void (*zero)(void* to, size_t bytes) = nullptr;
  void (*synchronize)() = nullptr;  // waits for all work; an error of a kernel appears here at the latest
};

void set_device_memory(DeviceType type, const DeviceMemory& functions);
/// Throws DeviceError where the device's backend is not loaded.
const DeviceMemory& device_memory(Device device);

}  // namespace terrace
