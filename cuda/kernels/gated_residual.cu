// A thread takes one pack of columns and goes down the rows, so that it reads gamma once and sums gamma's gradient in
// registers, over the same chunks of rows and in the same order as on the CPU. Forward sums nothing over rows: its
// blocks take fewer rows each, so that there are enough blocks to fill a GPU.
#include "tensor/kernels/gated_residual.h"

#include "cuda/device/rows.h"

namespace terrace {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kForwardRows = 8;

int64_t column_blocks(int64_t cols, int pack) { return cuda::blocks_for(cols, int64_t{kThreads} * pack); }

/// What a thread computes: rows [begin, end), counted through all samples, of the columns from `column` on.
struct Place {
  int64_t part, sample, begin, end, column;  // part: a chunk of a sample's rows, counted through all samples

  __device__ Place(const GateLayout& layout, int64_t chunk_rows, int pack) {
    const int64_t width = int64_t{kThreads} * pack, columns = (layout.cols + width - 1) / width;
    const int64_t chunks = (layout.rows + chunk_rows - 1) / chunk_rows;
    part = blockIdx.x / columns;
    sample = part / chunks;
    const int64_t first = part % chunks * chunk_rows;
    begin = sample * layout.rows + first;
    end = sample * layout.rows + (first + chunk_rows < layout.rows ? first + chunk_rows : layout.rows);
    column = blockIdx.x % columns * width + int64_t{threadIdx.x} * pack;
  }
};

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    forward_columns(const T* x, const T* y, const T* gamma, T* out, GateLayout layout) {
  using A = Accumulator<T>;
  const Place at(layout, kForwardRows, N);
  if (at.column >= layout.cols) { return; }
  const auto gate = cuda::load_pack<N>(gamma + at.sample * layout.gamma_stride + at.column);
#pragma unroll 4
  for (int64_t r = at.begin; r < at.end; ++r) {
    const int64_t i = r * layout.cols + at.column;
    const auto base = cuda::load_pack<N>(x + i), branch = cuda::load_pack<N>(y + i);
    cuda::Pack<T, N> sum;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sum.v[k] = static_cast<T>(static_cast<A>(base.v[k]) + static_cast<A>(gate.v[k]) * static_cast<A>(branch.v[k]));
    }
    cuda::store_pack(out + i, sum);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads) backward_columns(const T* y, const T* gamma, const T* dout, T* dy,
                                                             Accumulator<T>* dgamma_parts, GateLayout layout) {
  using A = Accumulator<T>;
  const Place at(layout, kGateBlock, N);
  if (at.column >= layout.cols) { return; }
  const auto gate = cuda::load_pack<N>(gamma + at.sample * layout.gamma_stride + at.column);
  A dgamma[N] = {};
#pragma unroll 4
  for (int64_t r = at.begin; r < at.end; ++r) {
    const int64_t i = r * layout.cols + at.column;
    const auto branch = cuda::load_pack<N>(y + i), d = cuda::load_pack<N>(dout + i);
    cuda::Pack<T, N> scaled;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      scaled.v[k] = static_cast<T>(static_cast<A>(gate.v[k]) * static_cast<A>(d.v[k]));
      dgamma[k] += static_cast<A>(branch.v[k]) * static_cast<A>(d.v[k]);
    }
    cuda::store_pack(dy + i, scaled);
  }
#pragma unroll
  for (int k = 0; k < N; ++k) { dgamma_parts[at.part * layout.cols + at.column + k] = dgamma[k]; }
}

template <class T>
void forward(const T* x, const T* y, const T* gamma, T* out, GateLayout layout) {
  const bool packed =
      cuda::are_rows_of_packs(layout.cols, x, y, out) && cuda::are_rows_of_packs(layout.gamma_stride, gamma);
  cuda::with_packs<T>(packed, [&](auto n) {
    const int64_t parts = layout.samples * cuda::blocks_for(layout.rows, kForwardRows);
    cuda::launch("gated_residual", forward_columns<n(), T>,
                 cuda::Grid(parts * column_blocks(layout.cols, n()), kThreads), x, y, gamma, out, layout);
  });
}

template <class T>
void backward(const T* y, const T* gamma, const T* dout, T* dy, Accumulator<T>* dgamma_parts, GateLayout layout) {
  const bool packed =
      cuda::are_rows_of_packs(layout.cols, y, dout, dy) && cuda::are_rows_of_packs(layout.gamma_stride, gamma);
  cuda::with_packs<T>(packed, [&](auto n) {
    const int64_t parts = layout.samples * gate_blocks(layout.rows);
    cuda::launch("gated_residual backward", backward_columns<n(), T>,
                 cuda::Grid(parts * column_blocks(layout.cols, n()), kThreads), y, gamma, dout, dy, dgamma_parts,
                 layout);
  });
}

TERRACE_REGISTER_FLOATS(gated_residual_forward, forward);
TERRACE_REGISTER_FLOATS(gated_residual_backward, backward);

}  // namespace
}  // namespace terrace
