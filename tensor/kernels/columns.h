// Loops over the columns of (outer, extent, inner) arrays. Included by the kernels' .cpp files only, which are compiled
// once per instruction set; hence the anonymous namespace.
#pragma once

#include <cstdint>

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

constexpr int64_t kInnerBlock = 256;  // columns one thread takes at a time

inline int64_t blocks_of(int64_t inner) { return (inner + kInnerBlock - 1) / kInnerBlock; }

/// Calls f(outer index, first and last inner index) for every block of columns of (outer, extent, inner), in parallel.
template <class F>
void for_columns(int64_t outer, int64_t extent, int64_t inner, const F& f) {
  const int64_t blocks = blocks_of(inner);
#pragma omp parallel for schedule(static) if (outer * extent * inner > kMinParallelElements)
  for (int64_t task = 0; task < outer * blocks; ++task) {
    const int64_t begin = task % blocks * kInnerBlock;
    f(task / blocks, begin, begin + kInnerBlock < inner ? begin + kInnerBlock : inner);
  }
}

}  // namespace
}  // namespace terrace
