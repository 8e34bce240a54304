#include "tensor/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

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
  std::vector<MemoryFigure> named{{"", 0, 0}};
};

// Never destroyed: tensors of static lifetime may be released after it would have been.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

thread_local int current_name = 0;

// The cache may hold this much without use before it is emptied; it bounds what changing shapes can pile up.
constexpr int64_t kCacheFloor = int64_t{256} << 20;

void release_cached(Pool& p) {
  for (auto& [size, blocks] : p.free) {
    for (void* block : blocks) std::free(block);
  }
  p.free.clear();
  p.cached = 0;
}

}  // namespace

void* allocate(size_t bytes, int* tag) {
  const size_t size = rounded_size(bytes);
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  void* block = nullptr;
  if (auto it = p.free.find(size); it != p.free.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
    p.cached -= static_cast<int64_t>(size);
  } else {
    block = std::aligned_alloc(64, size);
    if (block == nullptr) {
      release_cached(p);
      block = std::aligned_alloc(64, size);
      if (block == nullptr) throw std::bad_alloc();
    }
  }
  *tag = current_name;
  p.live += static_cast<int64_t>(size);
  p.peak = std::max(p.peak, p.live);
  MemoryFigure& figure = p.named[static_cast<size_t>(*tag)];
  figure.live += static_cast<int64_t>(size);
  figure.peak = std::max(figure.peak, figure.live);
  return block;
}

void deallocate(void* block, size_t bytes, int tag) {
  const size_t size = rounded_size(bytes);
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  p.live -= static_cast<int64_t>(size);
  p.named[static_cast<size_t>(tag)].live -= static_cast<int64_t>(size);
  p.free[size].push_back(block);
  p.cached += static_cast<int64_t>(size);
  if (p.cached > std::max(kCacheFloor, p.live)) release_cached(p);
}

MemoryStats memory_stats() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  MemoryStats stats{p.live, p.peak, p.live + p.cached, p.named};
  std::stable_sort(stats.named.begin(), stats.named.end(),
                   [](const MemoryFigure& a, const MemoryFigure& b) { return a.peak > b.peak; });
  return stats;
}

void reset_peak_memory() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  p.peak = p.live;
  for (MemoryFigure& figure : p.named) figure.peak = figure.live;
}

void release_cached_memory() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  release_cached(p);
}

AllocationName::AllocationName(const char* name) : previous_(current_name) {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  auto it = std::find_if(p.named.begin(), p.named.end(), [&](const MemoryFigure& f) { return f.name == name; });
  current_name = static_cast<int>(it - p.named.begin());
  if (it == p.named.end()) p.named.push_back({name, 0, 0});
}

AllocationName::~AllocationName() { current_name = previous_; }

}  // namespace terrace
