// What the loops of both trainers share.
#pragma once

#include <cstdint>
#include <functional>

namespace terrace {

/// After every step; may throw, as Interrupted where a user ends the program.
using TrainProgress = std::function<void(int64_t done, int64_t steps, double loss)>;

/// Whether what happens every `every` steps happens after step `step`; 0: never.
inline bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

/// Calls `progress`, which may be empty. Where it throws, `save` writes a checkpoint of the finished step first.
template <class Save>
void report_progress(const TrainProgress& progress, int64_t done, int64_t steps, double loss, const Save& save) {
  if (!progress) { return; }
  try {
    progress(done, steps, loss);
  } catch (...) {
    save();
    throw;
  }
}

}  // namespace terrace
