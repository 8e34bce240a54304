// Device memory for the length of a call, and the way of a number back to the host.
#pragma once

#include <cstddef>

namespace terrace::cuda {

/// Device memory that is given back at the end of the scope. Kernels that were launched meanwhile may still be using it
/// then: whoever is handed the block next launches behind them, in the same stream.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
  size_t bytes_;
  int tag_ = 0;
};

/// Copies `bytes` bytes of device memory to the host, once the kernels before are done: for the few ops that return a
/// number.
void read_back(void* to, const void* from, size_t bytes);

}  // namespace terrace::cuda
