// The shared memory of the block that the executor runs.
#pragma once

#include <cstddef>
#include <vector>

namespace terrace::executor {

inline constexpr size_t kMaxSharedBytes = 227 << 10;  // of one block, sm_90

class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory() { release(); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// The memory of the variable that `key` names: allocated when the block's first thread asks for it, filled with
  /// bytes 0xff. Null where it would be more than kMaxSharedBytes with what is there.
  void* variable(const void* key, size_t bytes, size_t alignment);
  /// At the end of a block: the next one begins without variables.
  void release();

 private:
  struct Variable {
    const void* key;
    std::byte* memory;
    size_t bytes, alignment;
  };
  std::vector<Variable> variables_;
};

}  // namespace terrace::executor
