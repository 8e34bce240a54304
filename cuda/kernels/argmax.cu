// Along the last dimension the work on a row is a block's, so that neighbouring threads read neighbouring elements;
// along another dimension a column is a thread's, whose neighbours have the columns beside it.
#include "tensor/kernels/argmax.h"

#include "cuda/device/candidates.h"
#include "cuda/device/collectives.h"
#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

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
      if (!beats(value, most, extreme)) { continue; }
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

TERRACE_REGISTER_FLOATS(arg_extreme, find_extreme);
TERRACE_REGISTER(arg_extreme<int64_t>, find_extreme<int64_t>);

}  // namespace
}  // namespace terrace
