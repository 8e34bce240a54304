#include "var/training/recorded_step.h"

namespace terrace {

bool RecordedStep::record_once(const std::function<void()>& launch, const std::function<void()>& undo) {
  if (arena_.device().is_cpu() || !launched_) { return false; }
  if (tried_) { return graph_.recorded(); }
  tried_ = true;
  const bool recorded = graph_.record(launch);
  if (!recorded) { undo(); }
  return recorded;
}

}  // namespace terrace
