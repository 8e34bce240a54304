#include "tensor/kernels/pointwise.h"

#include <type_traits>

#include "tensor/device/parallel_size.h"

namespace terrace {
namespace {

constexpr int64_t kPiece = 8192;

/// Calls body(first, length) over pieces of [0, count), in parallel where the elements are worth starting threads for.
template <class Body>
void for_pieces(int64_t count, Body&& body) {
  const int64_t pieces = (count + kPiece - 1) / kPiece;
#pragma omp parallel for schedule(static) if (count > kMinParallelElements)
  for (int64_t p = 0; p < pieces; ++p) {
    const int64_t first = p * kPiece;
    body(first, count - first < kPiece ? count - first : kPiece);
  }
}

/// Calls body(offsets, length) for every inner loop of a plan; a single long loop is cut into pieces.
template <int N, class Body>
void for_rows(const LoopPlan<N>& plan, Body&& body) {
  const int64_t outer = plan.outer(), inner = plan.inner();
  if (outer == 1) {
    for_pieces(inner, [&](int64_t first, int64_t length) {
      int64_t at[N];
      for (int k = 0; k < N; ++k) { at[k] = first * plan.strides[k][plan.ndim - 1]; }
      body(at, length);
    });
    return;
  }
#pragma omp parallel for schedule(static) if (outer * inner > kMinParallelElements)
  for (int64_t row = 0; row < outer; ++row) {
    int64_t at[N];
    plan.offsets(row, at);
    body(at, inner);
  }
}

template <class Op, class T>
void forward(const Op& op, const T* x, T* y, int64_t count) {
  using A = Accumulator<T>;
  for_pieces(count, [&](int64_t first, int64_t length) {
    const Op f = op;
    const T* __restrict xs = x + first;
    T* ys = y + first;
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) ys[i] = static_cast<T>(f.f(static_cast<A>(xs[i])));
  });
}

template <class Op, class T>
void backward(const Op& op, const T* x, const T* y, const T* dy, T* dx, int64_t count) {
  using A = Accumulator<T>;
  for_pieces(count, [&](int64_t first, int64_t length) {
    const Op f = op;
#pragma omp simd
    for (int64_t i = first; i < first + length; ++i) {
      dx[i] = static_cast<T>(static_cast<A>(dy[i]) * f.df(static_cast<A>(x[i]), static_cast<A>(y[i])));
    }
  });
}

/// The strides a broadcast meets are 1 and 0; giving the compiler those as constants lets it vectorise. Only f32 gets
/// all of them: every combination is another copy of every loop.
template <class T, class Body>
void with_steps(int64_t a, int64_t b, Body&& body) {
  struct One {
    constexpr operator int64_t() const { return 1; }
  };
  struct Zero {
    constexpr operator int64_t() const { return 0; }
  };
  if (a == 1 && b == 1) { return body(One{}, One{}); }
  if constexpr (std::is_same_v<T, float>) {
    if (a == 1 && b == 0) { return body(One{}, Zero{}); }
    if (a == 0 && b == 1) { return body(Zero{}, One{}); }
  }
  body(a, b);
}

template <class Op, class T>
void forward_binary(const Op& op, T* y, const T* a, const T* b, const LoopPlan<3>& plan) {
  using A = Accumulator<T>;
  const int last = plan.ndim - 1;
  with_steps<T>(plan.strides[1][last], plan.strides[2][last], [&](auto step_a, auto step_b) {
    for_rows(plan, [&](const int64_t(&at)[3], int64_t length) {
      T* ys = y + at[0];
      const T* as = a + at[1];
      const T* bs = b + at[2];
      const Op f = op;
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        ys[i] = static_cast<T>(f.f(static_cast<A>(as[i * step_a]), static_cast<A>(bs[i * step_b])));
      }
    });
  });
}

enum class Side { kA, kB };

template <Side side, class Op, class T>
void backward_binary(const Op& op, T* d, const T* a, const T* b, const T* dy, const LoopPlan<4>& plan) {
  using A = Accumulator<T>;
  const int last = plan.ndim - 1;
  const int64_t step_dy = plan.strides[3][last];
  with_steps<T>(plan.strides[1][last], plan.strides[2][last], [&](auto step_a, auto step_b) {
    for_rows(plan, [&](const int64_t(&at)[4], int64_t length) {
      const Op f = op;
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        const A av = static_cast<A>(a[at[1] + i * step_a]), bv = static_cast<A>(b[at[2] + i * step_b]);
        const A slope = side == Side::kA ? f.da(av, bv) : f.db(av, bv);
        d[at[0] + i] = static_cast<T>(static_cast<A>(dy[at[3] + i * step_dy]) * slope);
      }
    });
  });
}

template <class T>
void add_with_factor(T* x, const T* y, double factor, const LoopPlan<2>& plan) {
  using A = Accumulator<T>;
  const A c = static_cast<A>(factor);
  const int last = plan.ndim - 1;
  with_steps<T>(plan.strides[0][last], plan.strides[1][last], [&](auto step_x, auto step_y) {
    for_rows(plan, [&](const int64_t(&at)[2], int64_t length) {
      T* xs = x + at[0];
      const T* ys = y + at[1];
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        xs[i * step_x] = static_cast<T>(static_cast<A>(xs[i * step_x]) + c * static_cast<A>(ys[i * step_y]));
      }
    });
  });
}

constexpr Backend kBackend = TERRACE_COLUMN;

struct RegisterFormulas {
  template <class T>
  void operator()() const {
    for_each_op<UnaryOps>([](auto op) {
      using Op = decltype(op);
      unary_forward<Op, T>.set(kBackend, &forward<Op, T>);
      unary_backward<Op, T>.set(kBackend, &backward<Op, T>);
    });
    for_each_op<BinaryOps>([](auto op) {
      using Op = decltype(op);
      binary_forward<Op, T>.set(kBackend, &forward_binary<Op, T>);
      binary_backward_a<Op, T>.set(kBackend, &backward_binary<Side::kA, Op, T>);
      binary_backward_b<Op, T>.set(kBackend, &backward_binary<Side::kB, Op, T>);
    });
  }
};

TERRACE_REGISTER_BY(for_each_float(RegisterFormulas{}));
TERRACE_REGISTER_FLOATS(add_scaled, add_with_factor);

}  // namespace
}  // namespace terrace
