// Working memory for the length of a call, for the few CPU kernels that cannot say beforehand how much they need.
#pragma once

#include <cstdint>

#include "tensor/device/allocator.h"

namespace terrace {

template <class T>
struct Buffer {
  explicit Buffer(int64_t count)
      : bytes(static_cast<size_t>(count) * sizeof(T)), data(static_cast<T*>(allocate(bytes, &tag))) {}
  ~Buffer() { deallocate(data, bytes, tag); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  size_t bytes;
  int tag = 0;
  T* data;
};

}  // namespace terrace
