#include "tensor/allocator.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "tensor/device_memory.h"
#include "tensor/error.h"

namespace terrace {
namespace {

// Sizes are rounded so that blocks find each other again: to 64 bytes when small, to 1/8 of their power of two when
// large.
size_t rounded_size(size_t bytes) {
  constexpr size_t kLine = 64;
  if (bytes <= 4096) return std::max(kLine, (bytes + kLine - 1) / kLine * kLine);
  size_t power = 4096;
  while (power * 2 <= bytes) power *= 2;
  const size_t step = std::max(kLine, power / 8);
  return (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> free;  // by rounded size
  int64_t live = 0, peak = 0, cached = 0;
  std::vector<MemoryFigure> named;  // by tag; as long as the largest tag met
  MemoryFigure& figure(int tag) {
    if (named.size() <= static_cast<size_t>(tag)) named.resize(static_cast<size_t>(tag) + 1);
    return named[static_cast<size_t>(tag)];
  }
};

// Never destroyed: tensors of static lifetime may be released after it would have been. A process uses one GPU, so that
// a type of device has one pool.
Pool& pool(Device device) {
  static Pool* const pools = new Pool[kDeviceTypes];
  return pools[static_cast<int>(device.type)];
}

struct Names {
  std::mutex mutex;
  std::vector<std::string> list{""};  // by tag
};
Names& names() {
  static Names* const instance = new Names;
  return *instance;
}

thread_local int current_name = 0;

// The cache may hold this much without use before it is emptied; it bounds what changing shapes can pile up. A GPU's is
// emptied only when its memory is used up: giving it back waits for all work.
constexpr int64_t kCacheFloor = int64_t{256} << 20;

constexpr size_t kLarge = size_t{1} << 20;

void release_cached(Pool& p, const DeviceMemory& memory) {
  if (p.cached > 0) memory.synchronize();
  for (auto& [size, blocks] : p.free) {
    for (void* block : blocks) memory.release(block);
  }
  p.free.clear();
  p.cached = 0;
}

void* allocate_fresh(Pool& p, size_t size, Device device) {
  const DeviceMemory& memory = device_memory(device);
  // On the CPU cached blocks of other sizes are one piece of memory to the C library, and this one a part of it.
  if (device.is_cpu() && p.cached >= static_cast<int64_t>(size) && size >= kLarge) release_cached(p, memory);
  if (void* block = memory.allocate(size)) return block;
  release_cached(p, memory);
  if (void* block = memory.allocate(size)) return block;
  if (device.is_cpu()) throw std::bad_alloc();
  throw DeviceError(cat("out of memory on ", device, ": ", size, " bytes asked for, ", p.live,
                        " in use by tensors; a smaller batch needs less"));
}

}  // namespace

void* allocate(size_t bytes, int* tag, Device device) {
  const size_t size = rounded_size(bytes);
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  void* block = nullptr;
  if (auto it = p.free.find(size); it != p.free.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
    p.cached -= static_cast<int64_t>(size);
  } else {
    block = allocate_fresh(p, size, device);
  }
  *tag = current_name;
  p.live += static_cast<int64_t>(size);
  p.peak = std::max(p.peak, p.live);
  MemoryFigure& figure = p.figure(*tag);
  figure.live += static_cast<int64_t>(size);
  figure.peak = std::max(figure.peak, figure.live);
  return block;
}

void deallocate(void* block, size_t bytes, int tag, Device device) {
  const size_t size = rounded_size(bytes);
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  p.live -= static_cast<int64_t>(size);
  p.figure(tag).live -= static_cast<int64_t>(size);
  p.free[size].push_back(block);
  p.cached += static_cast<int64_t>(size);
  if (device.is_cpu() && p.cached > std::max(kCacheFloor, p.live)) release_cached(p, device_memory(device));
}

MemoryStats memory_stats(Device device) {
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  MemoryStats stats{p.live, p.peak, p.live + p.cached, p.named};
  {
    Names& all = names();
    std::lock_guard names_lock(all.mutex);
    for (size_t tag = 0; tag < stats.named.size(); ++tag) stats.named[tag].name = all.list[tag];
  }
  std::stable_sort(stats.named.begin(), stats.named.end(),
                   [](const MemoryFigure& a, const MemoryFigure& b) { return a.peak > b.peak; });
  return stats;
}

void reset_peak_memory(Device device) {
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  p.peak = p.live;
  for (MemoryFigure& figure : p.named) figure.peak = figure.live;
}

void release_cached_memory(Device device) {
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  release_cached(p, device_memory(device));
}

AllocationName::AllocationName(const char* name) : previous_(current_name) {
  Names& all = names();
  std::lock_guard lock(all.mutex);
  const auto found = std::find(all.list.begin(), all.list.end(), name);
  current_name = static_cast<int>(found - all.list.begin());
  if (found == all.list.end()) all.list.emplace_back(name);
}

AllocationName::~AllocationName() { current_name = previous_; }

}  // namespace terrace
