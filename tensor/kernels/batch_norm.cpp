#include "tensor/kernels/batch_norm.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* x, const T* mean, const T* variance, const T* weight, const T* bias, T* y, BatchNormLayout layout,
             double eps) {
  using A = Accumulator<T>;
  const int64_t planes = layout.samples * layout.channels;
  const int64_t positions = layout.positions;
  const bool stream = should_stream(y, planes, positions);
#pragma omp parallel if (planes * positions > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t p = 0; p < planes; ++p) {
      const int64_t c = p % layout.channels;
      const A m = static_cast<A>(mean[c]);
      const A inverse = A(1) / math::sqrt(static_cast<A>(variance[c]) + static_cast<A>(eps));
      const A factor = weight ? inverse * static_cast<A>(weight[c]) : inverse;
      const A offset = bias ? static_cast<A>(bias[c]) : A(0);
      const T* in = x + p * positions;
      write_row(y + p * positions, positions, stream,
                [&](int64_t i) { return (static_cast<A>(in[i]) - m) * factor + offset; });
    }
    stream_fence(stream);
  }
}

template <class T>
void backward(const T* x, const T* mean, const T* variance, const T* weight, const T* dy, T* dx,
              Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, BatchNormLayout layout, double eps) {
  using A = Accumulator<T>;
  const int64_t planes = layout.samples * layout.channels;
  const int64_t positions = layout.positions;
  const bool stream = should_stream(dx, planes, positions);
#pragma omp parallel if (planes * positions > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t p = 0; p < planes; ++p) {
      const int64_t c = p % layout.channels;
      const A m = static_cast<A>(mean[c]);
      const A inverse = A(1) / math::sqrt(static_cast<A>(variance[c]) + static_cast<A>(eps));
      const A factor = weight ? inverse * static_cast<A>(weight[c]) : inverse;
      const T* in = x + p * positions;
      const T* g = dy + p * positions;
      A sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
      for (int64_t i = 0; i < positions; ++i) {
        sum += static_cast<A>(g[i]);
        dot += static_cast<A>(g[i]) * (static_cast<A>(in[i]) - m);
      }
      dbias_parts[p] = sum;
      dweight_parts[p] = dot * inverse;
      write_row(dx + p * positions, positions, stream, [&](int64_t i) { return static_cast<A>(g[i]) * factor; });
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(batch_norm_forward, forward);
TERRACE_REGISTER_FLOATS(batch_norm_backward, backward);

}  // namespace
}  // namespace terrace
