// Work along a dimension that is the last one is a block's, so that neighbouring threads read neighbouring elements;
// along another dimension it is a thread's, whose neighbours are the columns beside it.
#include "tensor/kernels/selection.h"

#include "cuda/device/candidates.h"
#include "cuda/device/collectives.h"
#include "cuda/device/elementwise.h"
#include "cuda/device/sorting.h"
#include "cuda/device/this_device.h"
#include "tensor/base/math.h"
#include "tensor/device/device_memory.h"

namespace terrace {
namespace {

using cuda::Pack;

// --- where ----------------------------------------------------------------------------------------------------------

template <class T>
struct Select {
  const uint8_t* condition;
  const T* a;
  const T* b;
  T* y;
  template <int N>
  __device__ void run(int64_t first) const {
    const auto mask = cuda::load_pack<N>(condition + first);
    Pack<T, N> yes{}, no{}, out;
    if (a != nullptr) { yes = cuda::load_pack<N>(a + first); }
    if (b != nullptr) { no = cuda::load_pack<N>(b + first); }
#pragma unroll
    for (int k = 0; k < N; ++k) { out.v[k] = mask.v[k] != 0 ? yes.v[k] : no.v[k]; }
    cuda::store_pack(y + first, out);
  }
};

template <class T>
void select(int64_t count, const uint8_t* condition, const T* a, const T* b, T* y) {
  cuda::launch_packs<cuda::kPackOf<T>>("where", count, cuda::are_pack_aligned(condition, a, b, y),
                                       Select<T>{condition, a, b, y});
}

// --- gather ---------------------------------------------------------------------------------------------------------

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

void check_narrow(int64_t extent, const char* op) {
  if (extent >= cuda::kNarrowLimit) {
    throw ShapeError(cat(op, ": up to 2^32 - 1 elements of a dimension on a GPU, got ", extent));
  }
}

template <class T>
void scatter_add(int64_t outer, int64_t extent, int64_t inner, int64_t count, const int64_t* index, const T* dy,
                 T* dx) {
  const int64_t columns = outer * inner;
  device_memory(cuda::kThisDevice).zero(dx, static_cast<size_t>(columns * extent) * sizeof(T));
  if (count <= kWalked) {
    cuda::launch_each("gather backward", columns, WalkColumn<T>{extent, inner, count, index, dy, dx});
    return;
  }
  check_narrow(extent > count ? extent : count, "gather");
  const cuda::SortedRows<cuda::NarrowItem> sorted("gather backward", columns, count, IndexItem{inner, count, index});
  cuda::launch_each("gather backward", columns * count, SumRuns<T>{extent, inner, count, sorted.items(), dy, dx});
}

// --- cumsum ---------------------------------------------------------------------------------------------------------

template <class T>
struct CumulateColumn {
  int64_t extent, inner;
  Scan scan;
  const T* x;
  T* y;
  template <int>
  __device__ void run(int64_t column) const {
    const int64_t first = column / inner * extent * inner + column % inner;
    double sum = 0;
    for (int64_t step = 0; step < extent; ++step) {
      const int64_t at = first + (scan == Scan::kFromFirst ? step : extent - 1 - step) * inner;
      sum += static_cast<double>(x[at]);
      y[at] = static_cast<T>(static_cast<Accumulator<T>>(sum));
    }
  }
};

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) cumulate_row(const T* x, T* y, int64_t extent, Scan scan) {
  x += blockIdx.x * extent;
  y += blockIdx.x * extent;
  double before = 0;
  for (int64_t begin = 0; begin < extent; begin += Threads) {
    const int64_t step = begin + threadIdx.x, at = scan == Scan::kFromFirst ? step : extent - 1 - step;
    double total;
    const double sum = cuda::block_scan<Threads>(step < extent ? static_cast<double>(x[at]) : 0.0, total);
    if (step < extent) { y[at] = static_cast<T>(static_cast<Accumulator<T>>(before + sum)); }
    before += total;
  }
}

template <class T>
void cumulative_sum(int64_t outer, int64_t extent, int64_t inner, Scan scan, const T* x, T* y) {
  if (extent == 0) { return; }
  if (inner > 1) {
    cuda::launch_each("cumsum", outer * inner, CumulateColumn<T>{extent, inner, scan, x, y});
    return;
  }
  cuda::with_row_threads(extent, [&](auto threads) {
    cuda::launch("cumsum", cumulate_row<threads(), T>, cuda::Grid(outer * inner, threads()), x, y, extent, scan);
  });
}

// --- sort -----------------------------------------------------------------------------------------------------------

template <class T>
struct ElementItem {
  const T* x;
  int64_t extent;
  SortOrder order;
  __device__ auto operator()(int64_t row, int64_t i) const {
    const auto bits = ordered_bits(static_cast<Accumulator<T>>(x[row * extent + i]));
    return cuda::make_item(order == SortOrder::kAscending ? bits : ~bits, i);
  }
};

template <class T, class Item>
struct TakePrefix {
  const T* x;
  const Item* items;
  int64_t extent, k;
  T* values;
  int64_t* indices;
  template <int>
  __device__ void run(int64_t at) const {
    const int64_t row = at / k, from = cuda::index_of(items[row * extent + at % k]);
    indices[at] = from;
    values[at] = x[row * extent + from];
  }
};

template <class T>
void sort_prefix(int64_t rows, int64_t extent, int64_t k, SortOrder order, const T* x, int64_t, int64_t*, T* values,
                 int64_t* indices) {
  using Item = std::conditional_t<std::is_same_v<T, double>, cuda::WideItem, cuda::NarrowItem>;
  if (rows * k == 0) { return; }
  check_narrow(extent, "sort");
  const cuda::SortedRows<Item> sorted("sort", rows, extent, ElementItem<T>{x, extent, order});
  cuda::launch_each("sort", rows * k, TakePrefix<T, Item>{x, sorted.items(), extent, k, values, indices});
}

// --- argmax, argmin -------------------------------------------------------------------------------------------------

/// What elements are compared as.
template <class T>
using Comparable = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

template <class T>
struct ExtremeOfColumn {
  int64_t extent, inner;
  Extreme extreme;
  const T* x;
  int64_t* index;
  template <int>
  __device__ void run(int64_t column) const {
    using C = Comparable<T>;
    const T* first = x + column / inner * extent * inner + column % inner;
    int64_t best = 0;
    C most = static_cast<C>(first[0]);
    for (int64_t e = 1; e < extent; ++e) {
      const C value = static_cast<C>(first[e * inner]);
      if (!cuda::beats(value, most, extreme)) { continue; }
      most = value;
      best = e;
    }
    index[column] = best;
  }
};

template <int Threads, class T>
__global__ void __launch_bounds__(Threads) extreme_of_row(const T* x, int64_t* index, int64_t extent, Extreme extreme) {
  using C = Comparable<T>;
  x += blockIdx.x * extent;
  cuda::Candidate<C> own;
  for (int64_t i = threadIdx.x; i < extent; i += Threads) {
    own = cuda::better(own, cuda::Candidate<C>{static_cast<C>(x[i]), i}, extreme);
  }
  own = cuda::best_of_block<Threads>(own, extreme);
  if (threadIdx.x == 0) { index[blockIdx.x] = own.index; }
}

template <class T>
void find_extreme(int64_t outer, int64_t extent, int64_t inner, Extreme extreme, const T* x, int64_t* index) {
  if (inner > 1) {
    cuda::launch_each("argmax/argmin", outer * inner, ExtremeOfColumn<T>{extent, inner, extreme, x, index});
    return;
  }
  cuda::with_row_threads(extent, [&](auto threads) {
    cuda::launch("argmax/argmin", extreme_of_row<threads(), T>, cuda::Grid(outer * inner, threads()), x, index, extent,
                 extreme);
  });
}

template <class T>
void register_type() {
  constexpr Backend kBackend = Backend::TERRACE_BACKEND;
  where_select<T>.set(kBackend, &select<T>);
  gather_forward<T>.set(kBackend, &gather<T>);
  gather_backward<T>.set(kBackend, &scatter_add<T>);
  cumulate<T>.set(kBackend, &cumulative_sum<T>);
  sorted_prefix<T>.set(kBackend, &sort_prefix<T>);
  arg_extreme<T>.set(kBackend, &find_extreme<T>);
}

TERRACE_REGISTER_BY(register_type<float>());
TERRACE_REGISTER_BY(register_type<double>());
TERRACE_REGISTER_BY(register_type<BFloat16>());
TERRACE_REGISTER(where_select<int64_t>, select<int64_t>);
TERRACE_REGISTER(arg_extreme<int64_t>, find_extreme<int64_t>);

}  // namespace
}  // namespace terrace
