#include "tensor/kernels/softmax.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

// Rows up to this length keep their exponentials in a buffer of the first-level cache; longer ones compute them twice.
constexpr int64_t kStagedCols = 4096;

template <class T>
void forward(const T* x, T* y, int64_t rows, int64_t cols) {
  using A = Accumulator<T>;
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
    alignas(kLineBytes) A staged[kStagedCols];
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* in = x + r * cols;
      T* out = y + r * cols;
      const A largest = row_max<A>(in, cols);
      if (cols <= kStagedCols) {
        A sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < cols; ++i) {
          staged[i] = exp_nonpositive(static_cast<A>(in[i]) - largest);
          sum += staged[i];
        }
        const A factor = A(1) / sum;
        write_row(out, cols, stream, [&](int64_t i) { return staged[i] * factor; });
      } else {
        const A factor =
            A(1) / row_sum<A>(cols, [&](int64_t i) { return exp_nonpositive(static_cast<A>(in[i]) - largest); });
        write_row(out, cols, stream,
                  [&](int64_t i) { return exp_nonpositive(static_cast<A>(in[i]) - largest) * factor; });
      }
    }
    stream_fence(stream);
  }
}

template <class T>
void backward(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols) {
  using A = Accumulator<T>;
  const bool stream = should_stream(dx, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* p = y + r * cols;
      const T* g = dy + r * cols;
      const A dot = row_sum<A>(cols, [&](int64_t i) { return static_cast<A>(p[i]) * static_cast<A>(g[i]); });
      write_row(dx + r * cols, cols, stream,
                [&](int64_t i) { return static_cast<A>(p[i]) * (static_cast<A>(g[i]) - dot); });
    }
    stream_fence(stream);
  }
}

template <class T>
void log_forward(const T* x, T* y, int64_t rows, int64_t cols) {
  using A = Accumulator<T>;
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* in = x + r * cols;
      const A largest = row_max<A>(in, cols);
      const A log_sum =
          math::log(row_sum<A>(cols, [&](int64_t i) { return exp_nonpositive(static_cast<A>(in[i]) - largest); }));
      write_row(y + r * cols, cols, stream, [&](int64_t i) { return (static_cast<A>(in[i]) - largest) - log_sum; });
    }
    stream_fence(stream);
  }
}

template <class T>
void log_backward(const T* y, const T* dy, T* dx, int64_t rows, int64_t cols) {
  using A = Accumulator<T>;
  const bool stream = should_stream(dx, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* log_p = y + r * cols;
      const T* g = dy + r * cols;
      const A sum = row_sum<A>(cols, [&](int64_t i) { return static_cast<A>(g[i]); });
      write_row(dx + r * cols, cols, stream,
                [&](int64_t i) { return static_cast<A>(g[i]) - exp_nonpositive(static_cast<A>(log_p[i])) * sum; });
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(softmax_forward, forward);
TERRACE_REGISTER_FLOATS(softmax_backward, backward);
TERRACE_REGISTER_FLOATS(log_softmax_forward, log_forward);
TERRACE_REGISTER_FLOATS(log_softmax_backward, log_backward);

}  // namespace
}  // namespace terrace
