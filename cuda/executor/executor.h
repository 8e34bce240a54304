// Runs CUDA kernels on the CPU: the threads of a block are fibers of the calling thread, blocks follow one another.
//
// A fiber runs until it meets a barrier, a warp's collective or an atomic; which one goes on then is the schedule's
// choice. Schedule 0 takes them in order, every other seed draws another order of threads and blocks, so that a missing
// barrier shows as a result that changes, or as one made of NaN: shared memory begins as bytes 0xff.
// What is found wrong is a KernelError that names the kernel, the block, and where which threads wait:
//   softmax_forward: threads 1 to 31 of block (0,0,0) wait at softmax.cu:41, but thread 0 has left the kernel
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

struct KernelError : Error {
  using Error::Error;
};  // a kernel broke a rule that a GPU does not forgive: divergent barriers, too much shared memory ...

/// The order in which this thread's kernels run while it lives; before, and where there is none, it is 0, or what the
/// environment's TERRACE_SCHEDULE says.
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

// --- What device code sees of the thread that runs
// --------------------------------------------------------------------

struct ThreadPosition {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
};
const ThreadPosition& position();
int lane();

/// Waits until every thread of the block is here; gives how many threads passed a predicate that is true.
int block_barrier(bool predicate, std::source_location at);

/// What a warp does together: called once all lanes of the mask have come, with what each lane brought, null for the
/// lanes outside the mask.
struct LaneArguments {
  const void* operand = nullptr;
  void* result = nullptr;
};
using Collective = void (*)(const LaneArguments (&lanes)[32], unsigned mask);
void warp_collective(unsigned mask, Collective collective, const void* operand, void* result, const char* name,
                     std::source_location at);

/// A moment at which another thread may run: before every atomic operation.
void interleave();

/// A shared variable of the block that runs: the same memory for all of its threads, told apart by `key`.
void* shared_variable(const void* key, size_t bytes, size_t alignment);
/// The dynamic shared memory that the launch asked for.
void* dynamic_shared();

/// Asynchronous copies arrive when the thread waits for their group, so that a kernel that does not wait sees the old
/// contents; in schedules other than 0 half of them arrive at once, so that one that others still read from shows.
void copy_later(void* to, const void* from, size_t bytes);
void commit_copies();
void wait_for_copies(int groups_left);

}  // namespace terrace::executor
