#include "tensor/kernels/dropout.h"

#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void apply(const T* x, const float* draws, T* y, int64_t count, double p, double factor) {
  using A = Accumulator<T>;
  const float threshold = static_cast<float>(p);
  const A kept = static_cast<A>(factor);
#pragma omp parallel for simd schedule(static) if (parallel : count > kParallelElements)
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<T>(static_cast<A>(x[i]) * (draws[i] >= threshold ? kept : A(0)));
  }
}

template <class T>
void apply_rows(const T* x, const float* draws, T* y, int64_t rows, int64_t cols, double p, double factor) {
  using A = Accumulator<T>;
  const float threshold = static_cast<float>(p);
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kParallelElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const A kept = draws[r] >= threshold ? static_cast<A>(factor) : A(0);
      const T* in = x + r * cols;
      write_row(y + r * cols, cols, stream, [&](int64_t i) { return static_cast<A>(in[i]) * kept; });
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER(dropout_apply<float>, apply<float>);
TERRACE_REGISTER(dropout_apply<BFloat16>, apply<BFloat16>);
TERRACE_REGISTER(dropout_apply<double>, apply<double>);
TERRACE_REGISTER(drop_path_apply<float>, apply_rows<float>);
TERRACE_REGISTER(drop_path_apply<BFloat16>, apply_rows<BFloat16>);
TERRACE_REGISTER(drop_path_apply<double>, apply_rows<double>);

}  // namespace
}  // namespace terrace
