#include "tensor/kernels/gated_residual.h"

#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* x, const T* y, const T* gamma, T* out, GateLayout layout) {
  using A = Accumulator<T>;
  const int64_t rows = layout.samples * layout.rows;
  const int64_t cols = layout.cols;
  const bool stream = should_stream(out, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* g = gamma + r / layout.rows * layout.gamma_stride;
      const T* base = x + r * cols;
      const T* branch = y + r * cols;
      write_row(out + r * cols, cols, stream,
                [&](int64_t i) { return static_cast<A>(base[i]) + static_cast<A>(g[i]) * static_cast<A>(branch[i]); });
    }
    stream_fence(stream);
  }
}

template <class T>
void backward(const T* y, const T* gamma, const T* dout, T* dy, Accumulator<T>* dgamma_parts, GateLayout layout) {
  using A = Accumulator<T>;
  const int64_t cols = layout.cols;
  const int64_t blocks = gate_blocks(layout.rows);
  const bool stream = should_stream(dy, layout.samples * layout.rows, cols);
#pragma omp parallel if (layout.samples * layout.rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t part = 0; part < layout.samples * blocks; ++part) {
      const int64_t sample = part / blocks;
      const int64_t begin = (part % blocks) * kGateBlock;
      const int64_t end = begin + kGateBlock < layout.rows ? begin + kGateBlock : layout.rows;
      const T* g = gamma + sample * layout.gamma_stride;
      A* dgamma = dgamma_parts + part * cols;
      for (int64_t i = 0; i < cols; ++i) { dgamma[i] = 0; }
      for (int64_t r = sample * layout.rows + begin; r < sample * layout.rows + end; ++r) {
        const T* branch = y + r * cols;
        const T* d = dout + r * cols;
        write_row(dy + r * cols, cols, stream, [&](int64_t i) { return static_cast<A>(g[i]) * static_cast<A>(d[i]); });
#pragma omp simd
        for (int64_t i = 0; i < cols; ++i) { dgamma[i] += static_cast<A>(branch[i]) * static_cast<A>(d[i]); }
      }
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(gated_residual_forward, forward);
TERRACE_REGISTER_FLOATS(gated_residual_backward, backward);

}  // namespace
}  // namespace terrace
