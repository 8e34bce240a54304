// The one way to launch a kernel:
//
//   launch("softmax", softmax_rows<T>, {rows, 256}, x, y, cols);
//
// On a GPU it goes to the device's stream, inside an NVTX range of that name; an error is a DeviceError with statement,
// code and hint. With TERRACE_SYNC=1 it waits for the kernel, so that a fault is reported by the launch it belongs to.
// In the executor it runs at once, or is kept for a replay (tensor/device/device_graph.h). A grid without blocks launches
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensor/base/error.h"
#include "tensor/device/kernel.h"

#if defined(TERRACE_CUDA_HOST)
#include "cuda/executor/executor.h"
#include "cuda/host/recording.h"
#else
#include <cuda_runtime.h>
#endif

namespace terrace::cuda {

/// Blocks and threads of a launch, and the dynamic shared memory of a block in bytes.
struct Grid {
  dim3 blocks;
  dim3 threads;
  size_t shared_bytes = 0;

  Grid(dim3 blocks_, dim3 threads_, size_t shared_bytes_ = 0)
      : blocks(blocks_), threads(threads_), shared_bytes(shared_bytes_) {}
  Grid(int64_t blocks_, int threads_, size_t shared_bytes_ = 0);
};

/// Blocks of `size` that cover `count`.
constexpr int64_t blocks_for(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// Blocks for a loop with a stride of the grid: enough to fill a GPU, and no more than the elements need.
inline int64_t grid_stride_blocks(int64_t count, int64_t per_block) {
  constexpr int64_t kEnough = 132 * 16;  // multiprocessors of an H200, blocks of 128 threads that each can hold
  const int64_t needed = blocks_for(count, per_block);
  return needed < kEnough ? needed : kEnough;
}

inline Grid::Grid(int64_t blocks_, int threads_, size_t shared_bytes_)
    : threads(static_cast<unsigned>(threads_)), shared_bytes(shared_bytes_) {
  if (blocks_ < 0 || blocks_ > 0x7fffffff) {
    throw ShapeError(cat("launch: ", blocks_, " blocks are too many for a GPU"));
  }
  blocks = dim3(static_cast<unsigned>(blocks_));
}

#if defined(TERRACE_CUDA_HOST)

template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), const Grid& grid,
            std::type_identity_t<Parameters>... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) { return; }
  const auto work = [=] {
    executor::run(name, grid.blocks, grid.threads, grid.shared_bytes, [&] { kernel(arguments...); });
  };
  if (!keep_while_recording(work)) { work(); }
}

#else

/// cuda/runtime/launch.cpp: sets the kernel's limit of shared memory where it needs more than 48 KiB, launches on the
/// current stream, checks.
void launch_raw(const char* name, const void* kernel, const Grid& grid, void** arguments);

template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), const Grid& grid,
            std::type_identity_t<Parameters>... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) { return; }
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  launch_raw(name, reinterpret_cast<const void*>(kernel), grid, addresses);
}

#endif

/// Copies a result of `bytes` bytes to the host, once the kernels before it are done: for the few that return a number.
void read_back(void* to, const void* from, size_t bytes);

/// Device memory for the length of a call; kernels launched meanwhile may use it, as later work reuses it in their
/// order.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
  size_t bytes_;
  int tag_ = 0;
};

}  // namespace terrace::cuda
