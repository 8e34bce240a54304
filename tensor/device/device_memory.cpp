#include "tensor/device/device_memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "tensor/base/error.h"

namespace terrace {
namespace {

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) { std::memcpy(to, from, bytes); }
}

/// Makes the C library keep freed memory and join neighbouring blocks of all threads, instead of requesting each large
/// block from the system and returning it at once: memory that was touched before causes no page faults, which were a
/// tenth of the time of sampling an image.
bool keep_freed_memory() {
  constexpr int kNever = std::numeric_limits<int>::max();
  return mallopt(M_MMAP_MAX, 0) != 0 && mallopt(M_TRIM_THRESHOLD, kNever) != 0 && mallopt(M_ARENA_MAX, 1) != 0;
}

/// Requests huge pages for large blocks: the first touch of a page then maps 2 MB instead of 4 KB.
void* allocate_host(size_t bytes) {
  [[maybe_unused]] static const bool kept = keep_freed_memory();
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  void* block = std::aligned_alloc(64, bytes);
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(block) + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(block) + bytes) / kHugePage * kHugePage;
  if (block != nullptr && end > begin) { madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE); }
  return block;
}

constexpr DeviceMemory kHostMemory{allocate_host,
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
