// Stable sorts of rows: an element becomes an item that carries its index, so that no two items are equal and the order
// does not depend on how the work is divided. A block sorts a chunk of a row in shared memory by a bitonic network;
// then sorted runs are merged in pairs. Every thread writes a few neighbouring outputs and finds where they begin in
// both runs by bisection on a diagonal ("merge path": Green, McColl, Bader 2012).
#pragma once

#include <utility>

#include "cuda/device/kernel.h"
#include "tensor/base/ordered_bits.h"

namespace terrace::cuda {

/// Sorted by key, equal keys by index.
struct WideItem {
  uint64_t key, index;
  __device__ bool operator<(const WideItem& other) const {
    return key != other.key ? key < other.key : index < other.index;
  }
};
/// The same where both fit 32 bits: one word.
struct NarrowItem {
  uint64_t word;
  __device__ bool operator<(const NarrowItem& other) const { return word < other.word; }
};
__device__ inline NarrowItem make_item(uint32_t key, int64_t index) {
  return {uint64_t{key} << 32 | static_cast<uint64_t>(index)};
}
__device__ inline WideItem make_item(uint64_t key, int64_t index) { return {key, static_cast<uint64_t>(index)}; }
__device__ inline int64_t index_of(const NarrowItem& item) { return static_cast<int64_t>(item.word & 0xffffffffu); }
__device__ inline int64_t index_of(const WideItem& item) { return static_cast<int64_t>(item.index); }
__device__ inline int64_t key_of(const NarrowItem& item) { return static_cast<int64_t>(item.word >> 32); }

inline constexpr int64_t kNarrowLimit = int64_t{1} << 32;  // of a NarrowItem's indices

/// Throws ShapeError where the positions of a dimension do not fit a NarrowItem.
inline void check_narrow(int64_t extent, const char* op) {
  if (extent >= kNarrowLimit) {
    throw ShapeError(cat(op, ": up to 2^32 - 1 elements of a dimension on a GPU, got ", extent));
  }
}

inline constexpr int kSortThreads = 256;
inline constexpr int kSortBlock = 2048;  // items of a block: 16 or 32 KiB of shared memory
inline constexpr int kMergePerThread = kSortBlock / kSortThreads;

/// Sorts `count` items, a power of two up to kSortBlock. Every thread of the block calls it, after a barrier.
template <class Item>
__device__ void sort_shared(Item* items, int count) {
  for (int size = 2; size <= count; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < count / 2; i += kSortThreads) {
        const int low = 2 * i - (i & (stride - 1)), high = low + stride;
        const bool ascending = (low & size) == 0;
        if ((items[high] < items[low]) == ascending) {
          const Item held = items[low];
          items[low] = items[high];
          items[high] = held;
        }
      }
      __syncthreads();
    }
  }
}

/// A block sorts one chunk of a row. make(row, i) is the item of element i.
template <class Item, class Make>
__global__ void __launch_bounds__(kSortThreads) sort_chunks(Make make, Item* items, int64_t extent, int padded) {
  TERRACE_SHARED(tile, Item[kSortBlock]);
  const int64_t chunks = (extent + kSortBlock - 1) / kSortBlock;
  const int64_t row = blockIdx.x / chunks, begin = blockIdx.x % chunks * kSortBlock;
  Item last;  // larger than every item: it pads the chunk to a power of two
  memset(&last, 0xff, sizeof last);
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += kSortThreads) {
    tile[i] = begin + i < extent ? make(row, begin + i) : last;
  }
  __syncthreads();
  sort_shared(tile, padded);
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += kSortThreads) {
    if (begin + i < extent) { items[row * extent + begin + i] = tile[i]; }
  }
}

/// How many of the first `count` items of a and b merged come from a: bisection on the diagonal.
template <class Item>
__device__ int64_t merge_split(const Item* a, int64_t a_count, const Item* b, int64_t b_count, int64_t count) {
  int64_t low = count > b_count ? count - b_count : 0, high = count < a_count ? count : a_count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a[middle] < b[count - 1 - middle]) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Merges neighbouring runs of `run` items, a multiple of kSortBlock. A block writes kSortBlock items.
template <class Item>
__global__ void __launch_bounds__(kSortThreads) merge_runs(const Item* from, Item* to, int64_t extent, int64_t run) {
  const int64_t chunks = (extent + kSortBlock - 1) / kSortBlock;
  const int64_t row = blockIdx.x / chunks;
  const int64_t first = blockIdx.x % chunks * kSortBlock + int64_t{threadIdx.x} * kMergePerThread;
  if (first >= extent) { return; }
  const int64_t pair = first / (2 * run) * (2 * run);
  const int64_t left = extent - pair;  // items from this pair of runs on
  const Item* a = from + row * extent + pair;
  const int64_t a_count = left < run ? left : run;
  const Item* b = a + a_count;
  const int64_t b_count = left < 2 * run ? left - a_count : run;
  int64_t at_a = merge_split(a, a_count, b, b_count, first - pair), at_b = first - pair - at_a;
  Item* out = to + row * extent + first;
  for (int i = 0; i < kMergePerThread && at_a + at_b < a_count + b_count; ++i) {
    const bool take_a = at_b == b_count || (at_a < a_count && a[at_a] < b[at_b]);
    out[i] = take_a ? a[at_a++] : b[at_b++];
  }
}

/// Rows of `extent` items, which make(row, i) gives on the device, each row sorted.
template <class Item>
class SortedRows {
 public:
  template <class Make>
  SortedRows(const char* name, int64_t rows, int64_t extent, const Make& make)
      : one_(static_cast<size_t>(rows * extent) * sizeof(Item)),
        two_(static_cast<size_t>(rows * extent) * sizeof(Item)) {
    int padded = 2;
    while (padded < kSortBlock && padded < extent) { padded *= 2; }
    const Grid grid(rows * blocks_for(extent, kSortBlock), kSortThreads);
    Item *items = one_.as<Item>(), *other = two_.as<Item>();
    launch(name, sort_chunks<Item, Make>, grid, make, items, extent, padded);
    for (int64_t run = kSortBlock; run < extent; run *= 2) {
      launch(name, merge_runs<Item>, grid, items, other, extent, run);
      std::swap(items, other);
    }
    items_ = items;
  }
  const Item* items() const { return items_; }

 private:
  Scratch one_, two_;
  const Item* items_ = nullptr;
};

}  // namespace terrace::cuda
