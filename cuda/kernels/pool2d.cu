// Forward a thread computes one element of the result, backward one element of the image's gradient: it gathers from
// the windows that cover the element, so that no two threads add to the same place.
#include "tensor/kernels/pool2d.h"

#include "cuda/device/elementwise.h"
#include "tensor/base/dtype.h"

namespace terrace {
namespace {

/// Pool2dGeometry with the extents of the result, computed once, on the host.
struct Geometry {
  explicit Geometry(const Pool2dGeometry& g)
      : planes(g.planes),
        height(g.height),
        width(g.width),
        kernel(g.kernel),
        stride(g.stride),
        pad(g.pad),
        out_height(g.out_height()),
        out_width(g.out_width()) {}
  int64_t inputs() const { return planes * height * width; }
  int64_t outputs() const { return planes * out_height * out_width; }

  int64_t planes, height, width, kernel, stride, pad, out_height, out_width;
};

/// The windows, of `outputs`, that cover row (column) `r`.
__device__ PoolRange covering(const Geometry& g, int64_t r, int64_t outputs) {
  const int64_t last = (r + g.pad) / g.stride + 1;
  return {r + g.pad < g.kernel ? 0 : (r + g.pad - g.kernel) / g.stride + 1, last < outputs ? last : outputs};
}

template <class T>
struct AverageForward {
  Geometry g;
  int64_t divisor;
  const T* x;
  T* y;
  template <int>
  __device__ void run(int64_t at) const {
    using A = Accumulator<T>;
    const int64_t row = at / g.out_width, plane = row / g.out_height;
    const PoolRange rows = pool_window(g, row % g.out_height, g.height),
                    cols = pool_window(g, at % g.out_width, g.width);
    A sum = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = cols.begin; c < cols.end; ++c) {
        sum += static_cast<A>(x[(plane * g.height + r) * g.width + c]);
      }
    }
    y[at] = static_cast<T>(sum / static_cast<A>(divisor != 0 ? divisor : rows.count() * cols.count()));
  }
};

template <class T>
struct AverageBackward {
  Geometry g;
  int64_t divisor;
  const T* dy;
  T* dx;
  template <int>
  __device__ void run(int64_t at) const {
    using A = Accumulator<T>;
    const int64_t row = at / g.width, plane = row / g.height;
    const PoolRange is = covering(g, row % g.height, g.out_height), js = covering(g, at % g.width, g.out_width);
    A sum = 0;
    for (int64_t i = is.begin; i < is.end; ++i) {
      for (int64_t j = js.begin; j < js.end; ++j) {
        const int64_t count =
            divisor != 0 ? divisor : pool_window(g, i, g.height).count() * pool_window(g, j, g.width).count();
        sum += static_cast<A>(dy[(plane * g.out_height + i) * g.out_width + j]) / static_cast<A>(count);
      }
    }
    dx[at] = static_cast<T>(sum);
  }
};

template <class T>
struct MaximumForward {
  Geometry g;
  const T* x;
  T* y;
  int64_t* winner;
  template <int>
  __device__ void run(int64_t at) const {
    using A = Accumulator<T>;
    const int64_t row = at / g.out_width, plane = row / g.out_height;
    const PoolRange rows = pool_window(g, row % g.out_height, g.height),
                    cols = pool_window(g, at % g.out_width, g.width);
    const T* in = x + plane * g.height * g.width;
    int64_t best = rows.begin * g.width + cols.begin;
    A largest = static_cast<A>(in[best]);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = cols.begin; c < cols.end; ++c) {
        const A value = static_cast<A>(in[r * g.width + c]);
        if (!(value > largest || value != value)) {
          continue;  // the second holds for NaN alone, which nothing exceeds
        }
        largest = value;
        best = r * g.width + c;
      }
    }
    y[at] = static_cast<T>(largest);
    winner[at] = best;
  }
};

template <class T>
struct MaximumBackward {
  Geometry g;
  const int64_t* winner;
  const T* dy;
  T* dx;
  template <int>
  __device__ void run(int64_t at) const {
    using A = Accumulator<T>;
    const int64_t row = at / g.width, plane = row / g.height, own = at - plane * g.height * g.width;
    const PoolRange is = covering(g, row % g.height, g.out_height), js = covering(g, at % g.width, g.out_width);
    A sum = 0;
    for (int64_t i = is.begin; i < is.end; ++i) {
      for (int64_t j = js.begin; j < js.end; ++j) {
        const int64_t from = (plane * g.out_height + i) * g.out_width + j;
        if (winner[from] == own) { sum += static_cast<A>(dy[from]); }
      }
    }
    dx[at] = static_cast<T>(sum);
  }
};

template <class T>
void avg_forward(const Pool2dGeometry& geometry, int64_t divisor, const T* x, T* y) {
  const Geometry g(geometry);
  cuda::launch_each("avg_pool2d", g.outputs(), AverageForward<T>{g, divisor, x, y});
}
template <class T>
void avg_backward(const Pool2dGeometry& geometry, int64_t divisor, const T* dy, T* dx) {
  const Geometry g(geometry);
  cuda::launch_each("avg_pool2d backward", g.inputs(), AverageBackward<T>{g, divisor, dy, dx});
}
template <class T>
void max_forward(const Pool2dGeometry& geometry, const T* x, T* y, int64_t* winner) {
  const Geometry g(geometry);
  cuda::launch_each("max_pool2d", g.outputs(), MaximumForward<T>{g, x, y, winner});
}
template <class T>
void max_backward(const Pool2dGeometry& geometry, const int64_t* winner, const T* dy, T* dx) {
  const Geometry g(geometry);
  cuda::launch_each("max_pool2d backward", g.inputs(), MaximumBackward<T>{g, winner, dy, dx});
}

TERRACE_REGISTER_FLOATS(avg_pool2d_forward, avg_forward);
TERRACE_REGISTER_FLOATS(avg_pool2d_backward, avg_backward);
TERRACE_REGISTER_FLOATS(max_pool2d_forward, max_forward);
TERRACE_REGISTER_FLOATS(max_pool2d_backward, max_backward);

}  // namespace
}  // namespace terrace
