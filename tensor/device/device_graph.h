// A device's work, recorded once and replayed: what a step launches, without the host's part of launching it.
//
//   MemoryArena arena(device);                      // of what the work allocates (allocator.h)
//   DeviceGraph step(arena);
//   if (step.record([&] { y = model(x); })) {       // nothing has run yet; else step.reason() says why not
//     x.copy_(next);                                // every replay reads and writes the same memory
//     step.replay();                                // y holds the result
//   }
//
// Launches, zeroing and copies on the device can be recorded, as can asking for memory. What moves memory to or from
// the host, or waits for the device, cannot: what the work would go on from is not there yet. Such work is launched as
// ever; record() then says false, and has changed nothing on the device.
#pragma once

#include <functional>
#include <string>

#include "tensor/base/error.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device.h"

namespace terrace {

/// Thrown by what cannot be recorded while a graph is: "copying to the host cannot be recorded".
struct NotRecordable : DeviceError {
  using DeviceError::DeviceError;
};

class DeviceGraph {
 public:
  /// The arena outlives the graph. Graphs of one arena share its memory: what one has left for another to read must be
  /// held by a tensor while the other is recorded.
  explicit DeviceGraph(MemoryArena& arena) : arena_(arena) {}
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  /// Calls `work`, whose launches on the device are recorded in place of being run. False where the device records
  /// nothing (the CPU), or the work or the device refused with a DeviceError, whose text is then reason(). Other errors
  /// of `work` pass through. Record work that has run once already: what libraries prepare at their first call is then
  /// prepared. One graph at a time.
  bool record(const std::function<void()>& work);
  /// Runs what was recorded, in the order of the device's other work.
  void replay() const;
  bool recorded() const { return graph_ != nullptr; }
  const std::string& reason() const { return reason_; }

 private:
  MemoryArena& arena_;
  void* graph_ = nullptr;
  std::string reason_;
};

/// What a backend does for it, entered beside its memory's functions.
struct DeviceGraphFunctions {
  void (*begin)() = nullptr;
  void* (*end)() = nullptr;     // what was recorded
  void (*abandon)() = nullptr;  // ends the recording, if it has not ended by itself, and drops it
  void (*replay)(void* graph) = nullptr;
  void (*destroy)(void* graph) = nullptr;
};
void set_device_graphs(DeviceType type, const DeviceGraphFunctions& functions);

}  // namespace terrace
