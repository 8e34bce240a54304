// Working memory for the length of a call, of the CPU's allocator.
#pragma once

#include <cstdint>

#include "tensor/device/allocator.h"

namespace terrace {

/// `count` elements, 64-byte aligned, of undefined contents; null where `count` is 0.
template <class T>
struct Buffer {
  explicit Buffer(int64_t count)
      : bytes(static_cast<size_t>(count) * sizeof(T)),
        data(count == 0 ? nullptr : static_cast<T*>(allocate(bytes, &tag))) {}
  ~Buffer() {
    if (data != nullptr) { deallocate(data, bytes, tag); }
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  size_t bytes;
  int tag = 0;
  T* data;
};

}  // namespace terrace
