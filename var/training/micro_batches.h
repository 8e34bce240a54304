// Gradient accumulation: a batch is computed in parts that fit the memory, and shared out among ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/communicator.h"

namespace terrace {

/// Rows `begin` to `end` - 1 of a batch. They are computed at once; the gradients of all micro-batches add up.
struct MicroBatch {
  int64_t index, begin, end;

  int64_t size() const { return end - begin; }
  /// Where its random numbers begin in the step's stream, whoever computes it.
  uint64_t first_draw() const { return static_cast<uint64_t>(index) << 40; }
};

/// Those that this process computes, of the `count` that a batch is split into as evenly as can be: all without ranks,
/// else as many on each rank. `count` is a multiple of the ranks.
std::vector<MicroBatch> micro_batches(int64_t batch, int64_t count, const Communicator* ranks);

}  // namespace terrace
