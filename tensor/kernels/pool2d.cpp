#include "tensor/kernels/pool2d.h"

#include "tensor/base/dtype.h"
#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/// The part of window (i, j) that lies in the image.
struct Window {
  Window(const Pool2dGeometry& g, int64_t i, int64_t j)
      : rows(pool_window(g, i, g.height)), columns(pool_window(g, j, g.width)) {}
  int64_t count() const { return rows.count() * columns.count(); }
  PoolRange rows, columns;
};

template <class T>
void avg_forward(const Pool2dGeometry& g, int64_t divisor, const T* x, T* y) {
  using A = Accumulator<T>;
  const int64_t h = g.out_height(), w = g.out_width();
#pragma omp parallel for schedule(static) if (g.planes * g.height * g.width > kMinParallelElements)
  for (int64_t p = 0; p < g.planes; ++p) {
    const T* plane = x + p * g.height * g.width;
    T* out = y + p * h * w;
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        const Window window(g, i, j);
        A sum = 0;
        for (int64_t r = window.rows.begin; r < window.rows.end; ++r) {
          for (int64_t c = window.columns.begin; c < window.columns.end; ++c) {
            sum += static_cast<A>(plane[r * g.width + c]);
          }
        }
        out[i * w + j] = static_cast<T>(sum / static_cast<A>(divisor != 0 ? divisor : window.count()));
      }
    }
  }
}

template <class T>
void avg_backward(const Pool2dGeometry& g, int64_t divisor, const T* dy, T* dx) {
  using A = Accumulator<T>;
  const int64_t h = g.out_height(), w = g.out_width();
#pragma omp parallel for schedule(static) if (g.planes * g.height * g.width > kMinParallelElements)
  for (int64_t p = 0; p < g.planes; ++p) {
    T* plane = dx + p * g.height * g.width;
    const T* gradient = dy + p * h * w;
    // Gathered per input position, so that the sum is kept in the accumulator's type.
    for (int64_t r = 0; r < g.height; ++r) {
      const int64_t i_end = lesser((r + g.pad) / g.stride + 1, h);
      const int64_t i_begin = r + g.pad < g.kernel ? 0 : (r + g.pad - g.kernel) / g.stride + 1;
      for (int64_t c = 0; c < g.width; ++c) {
        const int64_t j_end = lesser((c + g.pad) / g.stride + 1, w);
        const int64_t j_begin = c + g.pad < g.kernel ? 0 : (c + g.pad - g.kernel) / g.stride + 1;
        A sum = 0;
        for (int64_t i = i_begin; i < i_end; ++i) {
          for (int64_t j = j_begin; j < j_end; ++j) {
            const int64_t count = divisor != 0 ? divisor : Window(g, i, j).count();
            sum += static_cast<A>(gradient[i * w + j]) / static_cast<A>(count);
          }
        }
        plane[r * g.width + c] = static_cast<T>(sum);
      }
    }
  }
}

template <class T>
void max_forward(const Pool2dGeometry& g, const T* x, T* y, int64_t* winner) {
  using A = Accumulator<T>;
  const int64_t h = g.out_height(), w = g.out_width();
#pragma omp parallel for schedule(static) if (g.planes * g.height * g.width > kMinParallelElements)
  for (int64_t p = 0; p < g.planes; ++p) {
    const T* plane = x + p * g.height * g.width;
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        const Window window(g, i, j);
        int64_t best = window.rows.begin * g.width + window.columns.begin;
        A most = static_cast<A>(plane[best]);
        for (int64_t r = window.rows.begin; r < window.rows.end; ++r) {
          for (int64_t c = window.columns.begin; c < window.columns.end; ++c) {
            const A value = static_cast<A>(plane[r * g.width + c]);
            // The second comparison is true for NaN alone; nothing is larger than a NaN held in `most`.
            if (value > most || value != value) {
              most = value;
              best = r * g.width + c;
            }
          }
        }
        y[p * h * w + i * w + j] = static_cast<T>(most);
        winner[p * h * w + i * w + j] = best;
      }
    }
  }
}

template <class T>
void max_backward(const Pool2dGeometry& g, const int64_t* winner, const T* dy, T* dx) {
  using A = Accumulator<T>;
  const int64_t size = g.height * g.width, outputs = g.out_height() * g.out_width();
#pragma omp parallel for schedule(static) if (g.planes * g.height * g.width > kMinParallelElements)
  for (int64_t p = 0; p < g.planes; ++p) {
    T* plane = dx + p * size;
    for (int64_t i = 0; i < size; ++i) { plane[i] = static_cast<T>(A(0)); }
    for (int64_t i = 0; i < outputs; ++i) {
      T& target = plane[winner[p * outputs + i]];
      target = static_cast<T>(static_cast<A>(target) + static_cast<A>(dy[p * outputs + i]));
    }
  }
}

TERRACE_REGISTER_FLOATS(avg_pool2d_forward, avg_forward);
TERRACE_REGISTER_FLOATS(avg_pool2d_backward, avg_backward);
TERRACE_REGISTER_FLOATS(max_pool2d_forward, max_forward);
TERRACE_REGISTER_FLOATS(max_pool2d_backward, max_backward);

}  // namespace
}  // namespace terrace
