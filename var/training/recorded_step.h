// A training step on a device, recorded once and replayed (tensor/device/device_graph.h).
#pragma once

#include <functional>
#include <string>

#include "tensor/device/allocator.h"
#include "tensor/device/device_graph.h"

namespace terrace {

class RecordedStep {
 public:
  explicit RecordedStep(Device device) : arena_(device), graph_(arena_) {}
  /// What all steps allocate from, so that those that are replayed and those that are not share memory.
  MemoryArena& arena() { return arena_; }

  /// Tells that a step was run by launching its kernels: the next may be recorded.
  void note_launched() { launched_ = true; }
  /// Whether there is a recording to replay. The first call on a device after a launched step records `launch`, which
  /// then is not run; where that fails, `undo` puts back what it changed on the host, and no other attempt is made.
  bool record_once(const std::function<void()>& launch, const std::function<void()>& undo);
  void replay() const { graph_.replay(); }
  /// Why recording failed; empty where it was not tried or succeeded.
  const std::string& reason() const { return graph_.reason(); }

 private:
  MemoryArena arena_;
  DeviceGraph graph_;
  bool launched_ = false, tried_ = false;
};

}  // namespace terrace
