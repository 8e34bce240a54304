#include "tensor/kernels/layer_norm.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

template <class T>
void forward(const T* x, const T* gain, const T* shift, T* y, Accumulator<T>* mean, Accumulator<T>* inverse_std,
             LayerNormLayout layout, double eps) {
  using A = Accumulator<T>;
  const int64_t rows = layout.samples * layout.rows;
  const int64_t cols = layout.cols;
  const A offset = static_cast<A>(layout.gain_offset);
  const bool stream = should_stream(y, rows, cols);
#pragma omp parallel if (rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t sample = r / layout.rows;
      const T* in = x + r * cols;
      T* out = y + r * cols;
      const A m = row_sum<A>(cols, [&](int64_t i) { return static_cast<A>(in[i]); }) / A(cols);
      const A squares = row_sum<A>(cols, [&](int64_t i) {
        const A d = static_cast<A>(in[i]) - m;
        return d * d;
      });
      const A inverse = A(1) / math::sqrt(squares / A(cols) + static_cast<A>(eps));
      mean[r] = m;
      inverse_std[r] = inverse;
      const T* w = gain ? gain + sample * layout.gain_stride : nullptr;
      const T* b = shift ? shift + sample * layout.shift_stride : nullptr;
      const auto normalized = [&](int64_t i) { return (static_cast<A>(in[i]) - m) * inverse; };
      if (w && b) {
        write_row(out, cols, stream,
                  [&](int64_t i) { return normalized(i) * (offset + static_cast<A>(w[i])) + static_cast<A>(b[i]); });
      } else if (w) {
        write_row(out, cols, stream, [&](int64_t i) { return normalized(i) * (offset + static_cast<A>(w[i])); });
      } else if (b) {
        write_row(out, cols, stream, [&](int64_t i) { return normalized(i) + static_cast<A>(b[i]); });
      } else {
        write_row(out, cols, stream, normalized);
      }
    }
    stream_fence(stream);
  }
}

/// dx of one row; `factor(i)` is the channel's factor.
template <class T, class A, class Factor>
void backward_row(const T* x, const T* dy, T* dx, A mean, A inverse, int64_t cols, bool stream, const Factor& factor) {
  const auto normalized = [&](int64_t i) { return (static_cast<A>(x[i]) - mean) * inverse; };
  A sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
  for (int64_t i = 0; i < cols; ++i) {
    const A g = static_cast<A>(dy[i]) * factor(i);
    sum += g;
    dot += g * normalized(i);
  }
  sum /= A(cols);
  dot /= A(cols);
  write_row(dx, cols, stream,
            [&](int64_t i) { return inverse * (static_cast<A>(dy[i]) * factor(i) - sum - normalized(i) * dot); });
}

template <class T, class A>
void add_parts(const T* x, const T* dy, A mean, A inverse, int64_t cols, A* dgain, A* dshift) {
  if (dgain) {
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) {
      dgain[i] += static_cast<A>(dy[i]) * ((static_cast<A>(x[i]) - mean) * inverse);
    }
  }
  if (dshift) {
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) { dshift[i] += static_cast<A>(dy[i]); }
  }
}

template <class T>
void backward(const T* x, const T* gain, const Accumulator<T>* mean, const Accumulator<T>* inverse_std, const T* dy,
              T* dx, Accumulator<T>* dgain_parts, Accumulator<T>* dshift_parts, LayerNormLayout layout) {
  using A = Accumulator<T>;
  const int64_t cols = layout.cols;
  const int64_t blocks = layer_norm_blocks(layout.rows);
  const A offset = static_cast<A>(layout.gain_offset);
  const bool stream = should_stream(dx, layout.samples * layout.rows, cols);
#pragma omp parallel if (layout.samples * layout.rows * cols > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t part = 0; part < layout.samples * blocks; ++part) {
      const int64_t sample = part / blocks;
      const int64_t begin = (part % blocks) * kLayerNormBlock;
      const int64_t end = begin + kLayerNormBlock < layout.rows ? begin + kLayerNormBlock : layout.rows;
      A* dgain = dgain_parts ? dgain_parts + part * cols : nullptr;
      A* dshift = dshift_parts ? dshift_parts + part * cols : nullptr;
      if (dgain) {
        for (int64_t i = 0; i < cols; ++i) { dgain[i] = 0; }
      }
      if (dshift) {
        for (int64_t i = 0; i < cols; ++i) { dshift[i] = 0; }
      }
      const T* w = gain ? gain + sample * layout.gain_stride : nullptr;
      for (int64_t r = sample * layout.rows + begin; r < sample * layout.rows + end; ++r) {
        const T* in = x + r * cols;
        const T* g = dy + r * cols;
        if (w) {
          backward_row(in, g, dx + r * cols, mean[r], inverse_std[r], cols, stream,
                       [&](int64_t i) { return offset + static_cast<A>(w[i]); });
        } else {
          backward_row(in, g, dx + r * cols, mean[r], inverse_std[r], cols, stream, [](int64_t) { return A(1); });
        }
        add_parts(in, g, mean[r], inverse_std[r], cols, dgain, dshift);
      }
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(layer_norm_forward, forward);
TERRACE_REGISTER_FLOATS(layer_norm_backward, backward);

}  // namespace
}  // namespace terrace
