#include "tensor/kernels/group_norm.h"

#include "tensor/base/math.h"
#include "tensor/kernels/rows.h"

namespace terrace {
namespace {

/// What one channel of one sample does to its elements: z = (x - mean) * inverse * weight + bias.
template <class A>
struct Channel {
  A mean, inverse, weight, bias;
  A normalized(A x) const { return (x - mean) * inverse; }
  A value(A x) const { return normalized(x) * weight + bias; }
};

template <class A>
inline A sigmoid(A z) {
  return A(1) / (A(1) + math::exp(-z));
}

/// d silu(z) / dz
template <class A>
inline A silu_slope(A z) {
  const A s = sigmoid(z);
  return s * (A(1) + z * (A(1) - s));
}

template <class T, class A>
inline Channel<A> channel_of(const T* weight, const T* bias, A mean, A inverse, int64_t c) {
  return {mean, inverse, weight ? static_cast<A>(weight[c]) : A(1), bias ? static_cast<A>(bias[c]) : A(0)};
}

template <class T>
void forward(const T* x, const T* weight, const T* bias, T* y, Accumulator<T>* mean, Accumulator<T>* inverse_std,
             GroupNormLayout layout, double eps, NormActivation activation) {
  using A = Accumulator<T>;
  const int64_t groups = layout.samples * layout.groups;
  const int64_t width = layout.channels / layout.groups;  // channels of a group
  const int64_t positions = layout.positions;
  const int64_t size = width * positions;
  const bool stream = should_stream(y, groups * width, positions);
#pragma omp parallel if (groups * size > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t g = 0; g < groups; ++g) {
      const T* in = x + g * size;
      const A m = row_sum<A>(size, [&](int64_t i) { return static_cast<A>(in[i]); }) / A(size);
      const A squares = row_sum<A>(size, [&](int64_t i) {
        const A d = static_cast<A>(in[i]) - m;
        return d * d;
      });
      const A inverse = A(1) / math::sqrt(squares / A(size) + static_cast<A>(eps));
      mean[g] = m;
      inverse_std[g] = inverse;
      for (int64_t k = 0; k < width; ++k) {
        const Channel<A> c = channel_of<T, A>(weight, bias, m, inverse, g % layout.groups * width + k);
        const T* plane = in + k * positions;
        T* out = y + g * size + k * positions;
        if (activation == NormActivation::kSilu) {
          write_row(out, positions, stream, [&](int64_t i) {
            const A z = c.value(static_cast<A>(plane[i]));
            return z * sigmoid(z);
          });
        } else {
          write_row(out, positions, stream, [&](int64_t i) { return c.value(static_cast<A>(plane[i])); });
        }
      }
    }
    stream_fence(stream);
  }
}

/// The gradient at the normalisation's own output: dy, or dy times the activation's slope.
template <NormActivation kActivation, class T, class A>
inline A output_gradient(const Channel<A>& c, T x, T dy) {
  if constexpr (kActivation == NormActivation::kSilu) {
    return static_cast<A>(dy) * silu_slope(c.value(static_cast<A>(x)));
  } else {
    return static_cast<A>(dy);
  }
}

template <NormActivation kActivation, class T>
void backward_group(const T* x, const T* weight, const T* bias, Accumulator<T> mean, Accumulator<T> inverse,
                    const T* dy, T* dx, Accumulator<T>* dweight, Accumulator<T>* dbias, int64_t width,
                    int64_t positions, bool stream) {
  using A = Accumulator<T>;
  A sum = 0, dot = 0;  // of the gradient at xhat, alone and with xhat, over the group
  for (int64_t k = 0; k < width; ++k) {
    const Channel<A> c = channel_of<T, A>(weight, bias, mean, inverse, k);
    const T* plane = x + k * positions;
    const T* g = dy + k * positions;
    A db = 0, dw = 0;
#pragma omp simd reduction(+ : db, dw)
    for (int64_t i = 0; i < positions; ++i) {
      const A d = output_gradient<kActivation>(c, plane[i], g[i]);
      db += d;
      dw += d * c.normalized(static_cast<A>(plane[i]));
    }
    dbias[k] = db;
    dweight[k] = dw;
    sum += db * c.weight;
    dot += dw * c.weight;
  }
  sum /= A(width * positions);
  dot /= A(width * positions);
  for (int64_t k = 0; k < width; ++k) {
    const Channel<A> c = channel_of<T, A>(weight, bias, mean, inverse, k);
    const T* plane = x + k * positions;
    const T* g = dy + k * positions;
    write_row(dx + k * positions, positions, stream, [&](int64_t i) {
      const A d = output_gradient<kActivation>(c, plane[i], g[i]) * c.weight;
      return inverse * (d - sum - c.normalized(static_cast<A>(plane[i])) * dot);
    });
  }
}

template <class T>
void backward(const T* x, const T* weight, const T* bias, const Accumulator<T>* mean, const Accumulator<T>* inverse_std,
              const T* dy, T* dx, Accumulator<T>* dweight_parts, Accumulator<T>* dbias_parts, GroupNormLayout layout,
              NormActivation activation) {
  const int64_t groups = layout.samples * layout.groups;
  const int64_t width = layout.channels / layout.groups;
  const int64_t size = width * layout.positions;
  const bool stream = should_stream(dx, groups * width, layout.positions);
#pragma omp parallel if (groups * size > kMinParallelRowElements)
  {
#pragma omp for schedule(static) nowait
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g % layout.groups * width;
      const T* w = weight ? weight + first : nullptr;
      const T* b = bias ? bias + first : nullptr;
      const auto run = activation == NormActivation::kSilu ? backward_group<NormActivation::kSilu, T>
                                                           : backward_group<NormActivation::kNone, T>;
      run(x + g * size, w, b, mean[g], inverse_std[g], dy + g * size, dx + g * size, dweight_parts + g * width,
          dbias_parts + g * width, width, layout.positions, stream);
    }
    stream_fence(stream);
  }
}

TERRACE_REGISTER_FLOATS(group_norm_forward, forward);
TERRACE_REGISTER_FLOATS(group_norm_backward, backward);

}  // namespace
}  // namespace terrace
