// The one way to launch a kernel:
//
//   launch("softmax", softmax_rows<T>, {rows, 256}, x, y, cols);
//
// On a GPU it goes to the device's stream, inside an NVTX range of that name; an error is a DeviceError with statement,
// code and hint. With TERRACE_SYNC=1 it waits for the kernel, so that a fault is reported by the launch it belongs to.
// In the executor it runs at once, or is kept for a replay (tensor/device/device_graph.h). A grid without blocks
// launches nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/device/scratch.h"
#include "tensor/base/error.h"
#include "tensor/device/kernel.h"

#if defined(TERRACE_CUDA_HOST)
#include "cuda/host/launch.h"
#else
#include "cuda/runtime/launch.h"
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
  constexpr int64_t kEnough = 132 * 16;  // an H200 has 132 multiprocessors, each with room for 16 blocks of 128 threads
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

template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), const Grid& grid,
            std::type_identity_t<Parameters>... arguments) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) { return; }
  launch_kernel(name, kernel, grid.blocks, grid.threads, grid.shared_bytes, arguments...);
}

}  // namespace terrace::cuda
