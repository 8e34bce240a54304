#include "tensor/device_memory.h"

#include <cstdlib>
#include <cstring>

#include "tensor/error.h"

namespace terrace {
namespace {

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

constexpr DeviceMemory kHostMemory{[](size_t bytes) { return std::aligned_alloc(64, bytes); },
                                   [](void* block) { std::free(block); },
                                   copy_bytes,
                                   copy_bytes,
                                   [](void* to, size_t bytes) { std::memset(to, 0, bytes); },
                                   [] {}};

constinit DeviceMemory memories[kDeviceTypes] = {kHostMemory, {}, {}};

}  // namespace

void set_device_memory(DeviceType type, const DeviceMemory& functions) { memories[static_cast<int>(type)] = functions; }

const DeviceMemory& device_memory(Device device) {
  const DeviceMemory& memory = memories[static_cast<int>(device.type)];
  if (memory.allocate == nullptr) {
    throw DeviceError(cat("no memory can be had on ", device, ": its backend is not loaded"));
  }
  return memory;
}

}  // namespace terrace
