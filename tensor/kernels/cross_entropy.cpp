#include "tensor/kernels/cross_entropy.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* logits, const int64_t* targets, Accumulator<T>* loss, Accumulator<T>* stats, int64_t rows,
             int64_t cols, double smoothing) {
  using A = Accumulator<T>;
  const A s = static_cast<A>(smoothing);
#pragma omp parallel for schedule(static) if (rows * cols > kMinParallelRowElements)
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = logits + r * cols;
    const A largest = row_max<A>(x, cols);
    const A log_sum =
        math::log(row_sum<A>(cols, [&](int64_t i) { return exp_nonpositive(static_cast<A>(x[i]) - largest); }));
    const A at_target = log_sum + (largest - static_cast<A>(x[targets[r]]));
    if (s == A(0)) {
      loss[r] = at_target;
    } else {
      const A mean_below = row_sum<A>(cols, [&](int64_t i) { return largest - static_cast<A>(x[i]); }) / A(cols);
      loss[r] = (A(1) - s) * at_target + s * (log_sum + mean_below);
    }
    stats[2 * r] = largest;
    stats[2 * r + 1] = log_sum;
  }
}

template <class T>
void backward(const T* logits, const int64_t* targets, const Accumulator<T>* stats, const Accumulator<T>* dloss,
              T* dlogits, int64_t rows, int64_t cols, double smoothing) {
  using A = Accumulator<T>;
  const bool stream = should_stream(dlogits, rows, cols);
  const A spread = static_cast<A>(smoothing / static_cast<double>(cols));
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const T* x = logits + r * cols;
      const A largest = stats[2 * r];
      const A factor = exp_nonpositive(-stats[2 * r + 1]);
      const A g = dloss[r];
      T* dx = dlogits + r * cols;
      const auto probability = [&](int64_t i) { return exp_nonpositive(static_cast<A>(x[i]) - largest) * factor; };
      write_row(dx, cols, stream, [&](int64_t i) { return g * (probability(i) - spread); });
      dx[targets[r]] = static_cast<T>(g * (probability(targets[r]) - spread - static_cast<A>(1 - smoothing)));
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(cross_entropy_forward, forward);
TERRACE_REGISTER_FLOATS(cross_entropy_backward, backward);

}  // namespace
}  // namespace terrace
