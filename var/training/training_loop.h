// What the loops of both trainers share.
#pragma once

#include <cstdint>
#include <functional>

#include "tensor/base/error.h"
#include "tensor/device/interruption.h"

namespace terrace {

/// After every step; may throw, as Interrupted where a user ends the program.
using TrainProgress = std::function<void(int64_t done, int64_t steps, double loss)>;

/// The steps of the whole training as they are planned now, given those done; asked before every step. Another number
/// than before recomputes the schedules. `done` itself ends run() there, with a checkpoint to go on from.
using TrainPlan = std::function<int64_t(int64_t done)>;

/// Whether what happens every `every` steps happens after step `step`; 0: never.
inline bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

/// Calls back; where that throws, `save` writes a checkpoint of the finished step first.
template <class Call, class Save>
void save_if_thrown(const Call& call, const Save& save) {
  try {
    call();
  } catch (...) {
    const UninterruptedScope whole;
    save();
    throw;
  }
}

/// The record of a step; where the user ends it between two of its ops, `save` writes a checkpoint of the step before.
template <class Step, class Save>
auto save_if_interrupted(const Step& step, const Save& save) {
  try {
    return step();
  } catch (const Interrupted&) {
    const UninterruptedScope whole;
    save();
    throw;
  }
}

}  // namespace terrace
