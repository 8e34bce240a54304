// Along the last dimension the work on a row is a block's, so that neighbouring threads read neighbouring elements;
// along another dimension a column is a thread's, whose neighbours have the columns beside it.
#include "tensor/kernels/cumsum.h"

#include "cuda/device/collectives.h"
#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

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

TERRACE_REGISTER_FLOATS(cumulate, cumulative_sum);

}  // namespace
}  // namespace terrace
