#include "tensor/device/device_graph.h"

#include <utility>

namespace terrace {
namespace {

constinit DeviceGraphFunctions functions_of[kDeviceTypes] = {};

const DeviceGraphFunctions& functions(Device device) { return functions_of[static_cast<int>(device.type)]; }

}  // namespace

void set_device_graphs(DeviceType type, const DeviceGraphFunctions& functions) {
  functions_of[static_cast<int>(type)] = functions;
}

DeviceGraph::~DeviceGraph() {
  if (graph_ != nullptr) { functions(arena_.device()).destroy(graph_); }
}

bool DeviceGraph::record(const std::function<void()>& work) {
  const DeviceGraphFunctions& device = functions(arena_.device());
  if (device.begin == nullptr) {
    reason_ = cat("work of ", arena_.device(), " cannot be recorded");
    return false;
  }
  if (void* old = std::exchange(graph_, nullptr)) { device.destroy(old); }
  device.begin();
  try {
    const MemoryArena::Scope scope(arena_);
    work();
    graph_ = device.end();
  } catch (const DeviceError& error) {
    device.abandon();
    reason_ = error.what();
  } catch (...) {
    device.abandon();
    throw;
  }
  return recorded();
}

void DeviceGraph::replay() const {
  if (!recorded()) { throw DeviceError(cat("DeviceGraph: nothing is recorded to be replayed on ", arena_.device())); }
  functions(arena_.device()).replay(graph_);
}

}  // namespace terrace
