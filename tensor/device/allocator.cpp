#include "tensor/device/allocator.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "tensor/base/error.h"
#include "tensor/device/device_memory.h"

namespace terrace {
namespace {

// Sizes are rounded so that blocks find each other again: to 64 bytes when small, to 1/8 of their power of two when
// large.
size_t rounded_size(size_t bytes) {
  constexpr size_t kLine = 64;
  if (bytes <= 4096) { return std::max(kLine, (bytes + kLine - 1) / kLine * kLine); }
  size_t power = 4096;
  while (power * 2 <= bytes) { power *= 2; }
  const size_t step = std::max(kLine, power / 8);
  return (bytes + step - 1) / step * step;
}

using FreeBlocks = std::map<size_t, std::vector<void*>>;  // by rounded size

/// Takes a free block of `size` bytes; null where there is none.
void* take(FreeBlocks& free, size_t size) {
  const auto found = free.find(size);
  if (found == free.end() || found->second.empty()) { return nullptr; }
  void* block = found->second.back();
  found->second.pop_back();
  return block;
}

}  // namespace

struct MemoryArena::Blocks {
  FreeBlocks free;
};

namespace {

struct Pool {
  std::mutex mutex;
  FreeBlocks free;
  std::unordered_map<void*, MemoryArena::Blocks*> owners;  // of the blocks of arenas
  std::unordered_map<void*, size_t> lent;                  // the whole sizes of blocks that are larger than requested
  int64_t live = 0, peak = 0;
  int64_t cached = 0, kept = 0;     // in `free`, in arenas
  int64_t surplus = 0;              // by how much lent blocks are larger than requested
  std::vector<MemoryFigure> named;  // by tag; as long as the largest tag met
  MemoryFigure& figure(int tag) {
    if (named.size() <= static_cast<size_t>(tag)) { named.resize(static_cast<size_t>(tag) + 1); }
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
thread_local MemoryArena* current_arena = nullptr;

// The cache may hold this much without use before it is emptied; it bounds what changing shapes can pile up. A GPU's is
// emptied only when its memory is used up: giving it back waits for all work.
constexpr int64_t kCacheFloor = int64_t{256} << 20;

constexpr size_t kLarge = size_t{1} << 20;

void release_cached(Pool& p, const DeviceMemory& memory) {
  if (p.cached > 0) { memory.synchronize(); }
  for (auto& [size, blocks] : p.free) {
    for (void* block : blocks) { memory.release(block); }
  }
  p.free.clear();
  p.cached = 0;
}

/// A cached block of `size`; null where there is none.
void* take_exactly(Pool& p, size_t size) {
  void* block = take(p.free, size);
  if (block != nullptr) { p.cached -= static_cast<int64_t>(size); }
  return block;
}

/// A cached block of `size`, or for large sizes one of up to twice as much; null where there is none. The system clears
/// memory page by page when it is released and requested again, which took a twentieth of the time of sampling.
void* take_cached(Pool& p, size_t size) {
  if (void* block = take_exactly(p, size)) { return block; }
  if (size < kLarge) { return nullptr; }
  for (auto larger = p.free.upper_bound(size); larger != p.free.end() && larger->first <= 2 * size; ++larger) {
    const size_t whole = larger->first;
    void* block = take_exactly(p, whole);
    if (block == nullptr) { continue; }
    p.lent.emplace(block, whole);
    p.surplus += static_cast<int64_t>(whole - size);
    return block;
  }
  return nullptr;
}

/// Returns a block that was requested with `size` bytes to the cache.
void put_back(Pool& p, void* block, size_t size) {
  size_t whole = size;
  if (const auto found = size < kLarge ? p.lent.end() : p.lent.find(block); found != p.lent.end()) {
    whole = found->second;
    p.lent.erase(found);
    p.surplus -= static_cast<int64_t>(whole - size);
  }
  p.free[whole].push_back(block);
  p.cached += static_cast<int64_t>(whole);
}

void* allocate_fresh(Pool& p, size_t size, Device device) {
  const DeviceMemory& memory = device_memory(device);
  // The C library joins neighbouring blocks that are released: cached blocks of other sizes make room for this one.
  if (device.is_cpu() && p.cached >= static_cast<int64_t>(size) && size >= kLarge) { release_cached(p, memory); }
  if (void* block = memory.allocate(size)) { return block; }
  release_cached(p, memory);
  if (void* block = memory.allocate(size)) { return block; }
  if (device.is_cpu()) { throw std::bad_alloc(); }
  throw DeviceError(cat("out of memory on ", device, ": ", size, " bytes asked for, ", p.live,
                        " in use by tensors; a smaller batch needs less"));
}

}  // namespace

void* allocate(size_t bytes, int* tag, Device device) {
  const size_t size = rounded_size(bytes);
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  const bool in_arena = current_arena != nullptr && current_arena->device() == device && !device.is_cpu();
  void* block = in_arena ? take(current_arena->blocks().free, size) : nullptr;
  if (block != nullptr) {
    p.kept -= static_cast<int64_t>(size);
  } else {
    block = in_arena ? take_exactly(p, size) : take_cached(p, size);
    if (block == nullptr) { block = allocate_fresh(p, size, device); }
    if (in_arena) { p.owners[block] = &current_arena->blocks(); }
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
  const auto owner = p.owners.find(block);
  if (owner != p.owners.end()) {
    owner->second->free[size].push_back(block);
    p.kept += static_cast<int64_t>(size);
    return;
  }
  put_back(p, block, size);
  if (device.is_cpu() && p.cached > std::max(kCacheFloor, p.live)) { release_cached(p, device_memory(device)); }
}

MemoryStats memory_stats(Device device) {
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  MemoryStats stats{p.live, p.peak, p.live + p.cached + p.kept + p.surplus, p.named};
  {
    Names& all = names();
    std::lock_guard names_lock(all.mutex);
    for (size_t tag = 0; tag < stats.named.size(); ++tag) { stats.named[tag].name = all.list[tag]; }
  }
  std::stable_sort(stats.named.begin(), stats.named.end(),
                   [](const MemoryFigure& a, const MemoryFigure& b) { return a.peak > b.peak; });
  return stats;
}

void reset_peak_memory(Device device) {
  Pool& p = pool(device);
  std::lock_guard lock(p.mutex);
  p.peak = p.live;
  for (MemoryFigure& figure : p.named) { figure.peak = figure.live; }
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
  if (found == all.list.end()) { all.list.emplace_back(name); }
}

AllocationName::~AllocationName() { current_name = previous_; }

MemoryArena::MemoryArena(Device device) : device_(device), blocks_(std::make_unique<Blocks>()) {}

MemoryArena::~MemoryArena() {
  Pool& p = pool(device_);
  std::lock_guard lock(p.mutex);
  std::erase_if(p.owners, [this](const auto& entry) { return entry.second == blocks_.get(); });
  for (auto& [size, blocks] : blocks_->free) {
    const auto bytes = static_cast<int64_t>(size * blocks.size());
    p.kept -= bytes;
    p.cached += bytes;
    p.free[size].insert(p.free[size].end(), blocks.begin(), blocks.end());
  }
}

MemoryArena::Scope::Scope(MemoryArena& arena) : previous_(current_arena) { current_arena = &arena; }
MemoryArena::Scope::~Scope() { current_arena = previous_; }

}  // namespace terrace
