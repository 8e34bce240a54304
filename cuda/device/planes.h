// Planes of images, (samples, channels) of `positions` elements each, for kernels that treat every element alike: a
// plane is cut into chunks, each computed by one block, so that a few large planes fill a GPU as many small ones do.
#pragma once

#include "cuda/device/rows.h"

namespace terrace::cuda {

inline constexpr int kPacksOfThread = 4;

/// The chunk of a plane that this block computes; blocks are numbered through the chunks of all planes.
template <int Threads, int N>
struct PlaneChunk {
  static constexpr int64_t kElements = int64_t{Threads} * N * kPacksOfThread;
  int64_t plane, begin, end;  // elements [begin, end) of the plane
  int64_t positions;

  __device__ explicit PlaneChunk(int64_t positions_) : positions(positions_) {
    const int64_t chunks = (positions + kElements - 1) / kElements;
    plane = blockIdx.x / chunks;
    begin = blockIdx.x % chunks * kElements;
    end = begin + kElements < positions ? begin + kElements : positions;
  }
  /// Calls f(i) for the first element of each of this thread's packs, i counted from the first plane on.
  template <class F>
  __device__ void for_packs(F&& f) const {
#pragma unroll
    for (int step = 0; step < kPacksOfThread; ++step) {
      const int64_t i = begin + (int64_t{step} * Threads + threadIdx.x) * N;
      if (i < end) { f(plane * positions + i); }
    }
  }
};

/// Calls f(threads of a block, elements of a pack, blocks of a plane), the first two constants.
template <class T, class F>
void with_plane_packs(int64_t positions, bool packed, F&& f) {
  with_row_packs<T>(positions, packed, [&](auto threads, auto n) {
    f(threads, n, blocks_for(positions, PlaneChunk<threads(), n()>::kElements));
  });
}

}  // namespace terrace::cuda
