#include "tensor/kernels/gather.h"

#include "cuda/device/elementwise.h"
#include "cuda/device/sorting.h"
#include "cuda/device/this_device.h"
#include "tensor/device/device_memory.h"

namespace terrace {
namespace {

template <class T>
struct Gather {
  int64_t extent, inner, count;
  const T* x;
  const int64_t* index;
  T* y;
  template <int>
  __device__ void run(int64_t at) const {
    y[at] = x[(at / (count * inner) * extent + index[at]) * inner + at % inner];
  }
};

template <class T>
void gather(int64_t outer, int64_t extent, int64_t inner, int64_t count, const T* x, const int64_t* index, T* y) {
  cuda::launch_each("gather", outer * count * inner, Gather<T>{extent, inner, count, x, index, y});
}

/// Up to here a thread walks the indices of its column; more are sorted first, so that many threads share a column.
constexpr int64_t kWalked = 64;

template <class T>
struct WalkColumn {
  int64_t extent, inner, count;
  const int64_t* index;
  const T* dy;
  T* dx;
  template <int>
  __device__ void run(int64_t column) const {
    using A = Accumulator<T>;
    const int64_t o = column / inner, i = column % inner;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t at = (o * count + k) * inner + i;
      T& target = dx[(o * extent + index[at]) * inner + i];
      target = static_cast<T>(static_cast<A>(target) + static_cast<A>(dy[at]));
    }
  }
};

/// The item of index k of a column.
struct IndexItem {
  int64_t inner, count;
  const int64_t* index;
  __device__ cuda::NarrowItem operator()(int64_t column, int64_t k) const {
    const int64_t at = (column / inner * count + k) * inner + column % inner;
    return cuda::make_item(static_cast<uint32_t>(index[at]), k);
  }
};

/// The thread of the first among equal indices sums them, in their order.
template <class T>
struct SumRuns {
  int64_t extent, inner, count;
  const cuda::NarrowItem* items;
  const T* dy;
  T* dx;
  template <int>
  __device__ void run(int64_t item) const {
    using A = Accumulator<T>;
    const int64_t column = item / count, o = column / inner, i = column % inner, end = (column + 1) * count;
    const int64_t target = cuda::key_of(items[item]);
    if (item % count != 0 && cuda::key_of(items[item - 1]) == target) { return; }
    A sum = 0;
    for (int64_t k = item; k < end && cuda::key_of(items[k]) == target; ++k) {
      sum += static_cast<A>(dy[(o * count + cuda::index_of(items[k])) * inner + i]);
    }
    dx[(o * extent + target) * inner + i] = static_cast<T>(sum);
  }
};

template <class T>
void scatter_add(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index, const T* dy,
                 T* dx) {
  const int64_t columns = outer * inner;
  device_memory(cuda::kThisDevice).zero(dx, static_cast<size_t>(columns * extent) * sizeof(T));
  if (count <= kWalked) {
    cuda::launch_each("gather backward", columns, WalkColumn<T>{extent, inner, count, index, dy, dx});
    return;
  }
  cuda::check_narrow(extent > count ? extent : count, "gather");
  const cuda::SortedRows<cuda::NarrowItem> sorted("gather backward", columns, count, IndexItem{inner, count, index});
  cuda::launch_each("gather backward", columns * count, SumRuns<T>{extent, inner, count, sorted.items(), dy, dx});
}

TERRACE_REGISTER_FLOATS(gather_forward, gather);
TERRACE_REGISTER_FLOATS(gather_backward, scatter_add);

}  // namespace
}  // namespace terrace
