#include "cuda/executor/shared_memory.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace terrace::executor {

void* SharedMemory::variable(const void* key, size_t bytes, size_t alignment) {
  size_t total = bytes;
  for (const Variable& v : variables_) {
    if (v.key == key) { return v.memory; }
    total += v.bytes;
  }
  if (total > kMaxSharedBytes) { return nullptr; }
  alignment = std::max<size_t>(alignment, 16);
  // An allocation of its own, of exactly its size, so that AddressSanitizer sees accesses beyond it.
  auto* memory = static_cast<std::byte*>(::operator new(bytes, std::align_val_t(alignment)));
  std::memset(memory, 0xff, bytes);
  variables_.push_back({key, memory, bytes, alignment});
  return memory;
}

void SharedMemory::release() {
  for (const Variable& v : variables_) { ::operator delete(v.memory, std::align_val_t(v.alignment)); }
  variables_.clear();
}

}  // namespace terrace::executor
