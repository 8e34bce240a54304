// Toy models are too small to share between threads, which on a busy machine then wait for each other.
#pragma once

#include "tensor/device/device.h"

namespace terrace {

/// One thread while it lives.
class OneThread {
 public:
  OneThread() : before_(threads()) { set_threads(1); }
  ~OneThread() { set_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace terrace
