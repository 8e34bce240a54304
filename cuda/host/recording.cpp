#include "cuda/host/recording.h"

#include <memory>
#include <utility>
#include <vector>

#include "tensor/device/device_graph.h"

namespace terrace::cuda {
namespace {

using Recording = std::vector<std::function<void()>>;

thread_local std::unique_ptr<Recording> recording;

void begin() {
  refuse_while_recording("recording a graph");
  recording = std::make_unique<Recording>();
}
void* end() { return recording.release(); }
void abandon() { recording.reset(); }
void replay(void* graph) {
  refuse_while_recording("replaying a graph");
  for (const auto& work : *static_cast<Recording*>(graph)) { work(); }
}
void destroy(void* graph) { delete static_cast<Recording*>(graph); }

}  // namespace

bool keep_while_recording(const std::function<void()>& work) {
  if (recording == nullptr) { return false; }
  recording->push_back(work);
  return true;
}

void refuse_while_recording(const char* what) {
  if (recording != nullptr) { throw NotRecordable(cat(what, " cannot be recorded")); }
}

void provide_graphs() { set_device_graphs(DeviceType::kCudaHost, {begin, end, abandon, replay, destroy}); }

}  // namespace terrace::cuda
