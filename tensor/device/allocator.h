// Memory of every device: a caching allocator of 64-byte-aligned blocks (256 on a GPU) that counts what is live, the
// peak, and the high-water mark of every named purpose. A block that is given back may be handed out again at once: on
// a GPU its next user's kernels come after the last one's in the device's one stream. On the CPU a large block that no
// cached one fits takes the memory of cached ones of other sizes, which the C library joins and divides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/device/device.h"

namespace terrace {

struct MemoryFigure {
  std::string name;  // purpose given by AllocationName, "" for the rest
  int64_t live = 0;  // bytes in use now
  int64_t peak = 0;  // most bytes in use at once
};

struct MemoryStats {
  int64_t live = 0;      // bytes in use by tensors
  int64_t peak = 0;      // most in use at once since the last reset
  int64_t reserved = 0;  // bytes held from the C library or the driver: live, cached, what blocks are larger by
  std::vector<MemoryFigure> named;  // largest peak first
};

/// A block of at least `bytes` bytes, 64-byte aligned, possibly a cached one; contents undefined.
/// `tag` must be given back on deallocation. Throws std::bad_alloc on the CPU, DeviceError on a GPU.
void* allocate(size_t bytes, int* tag, Device device = kCpu);
void deallocate(void* block, size_t bytes, int tag, Device device = kCpu);

MemoryStats memory_stats(Device device = kCpu);
void reset_peak_memory(Device device = kCpu);
void release_cached_memory(Device device = kCpu);  // gives cached blocks back to the C library or the driver

/// While it lives, tensors allocated by this thread are counted under `name`: { AllocationName scope("kv-cache"); ... }
class AllocationName {
 public:
  explicit AllocationName(const char* name);
  ~AllocationName();
  AllocationName(const AllocationName&) = delete;
  AllocationName& operator=(const AllocationName&) = delete;

 private:
  int previous_;
};

/// Memory that is handed out within scopes alone: blocks that were given back are kept for the next scope, and nobody
/// else gets them. So what was recorded (device_graph.h) finds its memory again, unless a scope's tensor that was
/// allocated since still holds it. Where the device is the CPU a scope does nothing.
class MemoryArena {
 public:
  explicit MemoryArena(Device device);
  /// Its free blocks become the device's; those that tensors still hold become so when they are given back.
  ~MemoryArena();
  MemoryArena(const MemoryArena&) = delete;
  MemoryArena& operator=(const MemoryArena&) = delete;
  Device device() const { return device_; }

  /// While it lives, this thread's allocations on the arena's device come from the arena.
  class Scope {
   public:
    explicit Scope(MemoryArena& arena);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    MemoryArena* previous_;
  };

  struct Blocks;  // allocator.cpp
  Blocks& blocks() { return *blocks_; }

 private:
  Device device_;
  std::unique_ptr<Blocks> blocks_;
};

}  // namespace terrace
