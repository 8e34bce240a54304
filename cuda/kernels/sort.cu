#include "tensor/kernels/sort.h"

#include "cuda/device/elementwise.h"
#include "cuda/device/sorting.h"

namespace terrace {
namespace {

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
  cuda::check_narrow(extent, "sort");
  const cuda::SortedRows<Item> sorted("sort", rows, extent, ElementItem<T>{x, extent, order});
  cuda::launch_each("sort", rows * k, TakePrefix<T, Item>{x, sorted.items(), extent, k, values, indices});
}

TERRACE_REGISTER_FLOATS(sorted_prefix, sort_prefix);

}  // namespace
}  // namespace terrace
