// Runs CUDA kernels on the CPU: the threads of a block are fibers of the calling thread, and blocks run one after the
// other.
//
// A fiber runs until it meets a barrier, a warp's collective or an atomic; the schedule chooses the fiber that runs
// next. Schedule 0 takes threads and blocks in order, every other seed draws another order of both, so that a missing
// barrier shows as a result that changes with the seed, or as a NaN: shared memory begins as bytes 0xff.
// A kernel that breaks a rule ends in a KernelError that names the kernel, where its threads wait, and the block:
//   softmax: thread 1 waits at the barrier in collectives.h:46, thread 0 has left the kernel; block (0,0,0) of 256
//   threads, schedule 0
//
// Kernels see this through cuda/executor/intrinsics.h; tests through Schedule and run().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "tensor/base/error.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace terrace::executor {

/// A kernel broke a rule that a GPU does not forgive: divergent barriers, too much shared memory ...
struct KernelError : Error {
  using Error::Error;
};

/// While it lives, `seed` decides the order in which the blocks and threads of this thread's kernels run. Where there
/// is none the seed is the environment's TERRACE_SCHEDULE, or 0.
class Schedule {
 public:
  explicit Schedule(uint64_t seed);
  ~Schedule();
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

 private:
  uint64_t previous_;
};

/// Runs body() once for every thread of every block. Throws KernelError, and whatever body throws.
void run(const char* name, dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body);

// --- What device code sees of the thread that runs -------------------------------------------------------------------

struct ThreadPosition {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
};
const ThreadPosition& position();
int lane();

/// Waits until every thread of the block is here; returns the number of threads whose predicate is true.
int block_barrier(bool predicate, std::source_location at);

/// What a lane brings to a warp's collective; null pointers for lanes outside the mask.
struct LaneArguments {
  const void* operand = nullptr;
  void* result = nullptr;
};
/// What a warp does together: called once, when all lanes of the mask have come.
using Collective = void (*)(const LaneArguments (&lanes)[32], unsigned mask);
void warp_collective(unsigned mask, Collective collective, const void* operand, void* result, const char* name,
                     std::source_location at);

/// Lets another thread run, where the schedule draws it: before every atomic operation.
void interleave();

/// The shared variable `key` of the block that runs: the same memory for all of its threads.
void* shared_variable(const void* key, size_t bytes, size_t alignment);
/// The dynamic shared memory that the launch asked for.
void* dynamic_shared();

/// Asynchronous copies (cp.async). They arrive when the thread waits for their group, so that a kernel that forgets to
/// wait reads the old contents. In schedules other than 0 half of them arrive at once, so that copying over what
/// another thread still reads shows too.
void copy_later(void* to, const void* from, size_t bytes);
void commit_copies();
void wait_for_copies(int groups_left);

}  // namespace terrace::executor
