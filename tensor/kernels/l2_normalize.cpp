#include "tensor/kernels/l2_normalize.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* x, T* y, Accumulator<T>* length, int64_t rows, int64_t cols, double eps) {
  using A = Accumulator<T>;
  const A least = static_cast<A>(eps);
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* in = x + r * cols;
      const A norm =
          math::sqrt(row_sum<A>(cols, [&](int64_t i) { return static_cast<A>(in[i]) * static_cast<A>(in[i]); }));
      const A divisor = norm < least ? least : norm;  // NaN propagates
      length[r] = divisor;
      write_row(y + r * cols, cols, stream, [&](int64_t i) { return static_cast<A>(in[i]) / divisor; });
    }
    stream_fence(stream);
  }
}

template <class T>
void backward(const T* y, const Accumulator<T>* length, const T* dy, T* dx, int64_t rows, int64_t cols, double eps) {
  using A = Accumulator<T>;
  const A least = static_cast<A>(eps);
  const bool stream = should_stream(dx, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* unit = y + r * cols;
      const T* g = dy + r * cols;
      const A inverse = A(1) / length[r];
      // Where eps stood in for the length, the divisor is a constant and has no gradient.
      const A dot = length[r] == least
                        ? A(0)
                        : row_sum<A>(cols, [&](int64_t i) { return static_cast<A>(unit[i]) * static_cast<A>(g[i]); });
      write_row(dx + r * cols, cols, stream,
                [&](int64_t i) { return (static_cast<A>(g[i]) - static_cast<A>(unit[i]) * dot) * inverse; });
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(l2_normalize_forward, forward);
TERRACE_REGISTER_FLOATS(l2_normalize_backward, backward);

}  // namespace
}  // namespace terrace
