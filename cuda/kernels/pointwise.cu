#include "tensor/kernels/pointwise.h"

#include "cuda/device/elementwise.h"

namespace terrace {
namespace {

using cuda::Pack;

template <class Op, class T>
struct Forward {
  Op op;
  const T* x;
  T* y;
  template <int N>
  __device__ void run(int64_t first) const {
    using A = Accumulator<T>;
    const auto in = cuda::load_pack<N>(x + first);
    Pack<T, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) { out.v[i] = static_cast<T>(op.f(static_cast<A>(in.v[i]))); }
    cuda::store_pack(y + first, out);
  }
};

template <class Op, class T>
void forward(const Op& op, const T* x, T* y, int64_t count) {
  cuda::launch_packs<cuda::kPackOf<T>>(Op::kName, count, cuda::are_pack_aligned(x, y), Forward<Op, T>{op, x, y});
}

template <class Op, class T>
struct Backward {
  Op op;
  const T* x;
  const T* y;
  const T* dy;
  T* dx;
  template <int N>
  __device__ void run(int64_t first) const {
    using A = Accumulator<T>;
    const auto xs = cuda::load_pack<N>(x + first);
    const auto ys = cuda::load_pack<N>(y + first);
    const auto dys = cuda::load_pack<N>(dy + first);
    Pack<T, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out.v[i] = static_cast<T>(static_cast<A>(dys.v[i]) * op.df(static_cast<A>(xs.v[i]), static_cast<A>(ys.v[i])));
    }
    cuda::store_pack(dx + first, out);
  }
};

template <class Op, class T>
void backward(const Op& op, const T* x, const T* y, const T* dy, T* dx, int64_t count) {
  cuda::launch_packs<cuda::kPackOf<T>>(Op::kName, count, cuda::are_pack_aligned(x, y, dy, dx),
                                       Backward<Op, T>{op, x, y, dy, dx});
}

template <class Op, class T>
struct ForwardBinary {
  Op op;
  T* y;
  const T* a;
  const T* b;
  __device__ void operator()(const int64_t (&at)[3]) const {
    using A = Accumulator<T>;
    y[at[0]] = static_cast<T>(op.f(static_cast<A>(a[at[1]]), static_cast<A>(b[at[2]])));
  }
  template <int N>
  __device__ void run(int64_t first) const {
    using A = Accumulator<T>;
    const auto as = cuda::load_pack<N>(a + first);
    const auto bs = cuda::load_pack<N>(b + first);
    Pack<T, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) { out.v[i] = static_cast<T>(op.f(static_cast<A>(as.v[i]), static_cast<A>(bs.v[i]))); }
    cuda::store_pack(y + first, out);
  }
};

template <class Op, class T>
void forward_binary(const Op& op, T* y, const T* a, const T* b, const LoopPlan<3>& plan) {
  const ForwardBinary<Op, T> body{op, y, a, b};
  if (!plan.contiguous()) { return cuda::launch_plan(Op::kName, plan, body); }
  cuda::launch_packs<cuda::kPackOf<T>>(Op::kName, plan.inner(), cuda::are_pack_aligned(y, a, b), body);
}

enum class Side { kA, kB };

template <Side side, class Op, class T>
struct BackwardBinary {
  Op op;
  T* d;
  const T* a;
  const T* b;
  const T* dy;
  __device__ void operator()(const int64_t (&at)[4]) const {
    using A = Accumulator<T>;
    const A av = static_cast<A>(a[at[1]]), bv = static_cast<A>(b[at[2]]);
    const A slope = side == Side::kA ? op.da(av, bv) : op.db(av, bv);
    d[at[0]] = static_cast<T>(static_cast<A>(dy[at[3]]) * slope);
  }
};

template <Side side, class Op, class T>
void backward_binary(const Op& op, T* d, const T* a, const T* b, const T* dy, const LoopPlan<4>& plan) {
  cuda::launch_plan(Op::kName, plan, BackwardBinary<side, Op, T>{op, d, a, b, dy});
}

template <class T>
struct AddScaled {
  T* x;
  const T* y;
  Accumulator<T> factor;
  __device__ void operator()(const int64_t (&at)[2]) const {
    using A = Accumulator<T>;
    x[at[0]] = static_cast<T>(static_cast<A>(x[at[0]]) + factor * static_cast<A>(y[at[1]]));
  }
};

template <class T>
void add_with_factor(T* x, const T* y, double factor, const LoopPlan<2>& plan) {
  cuda::launch_plan("add_", plan, AddScaled<T>{x, y, static_cast<Accumulator<T>>(factor)});
}

template <class Op, class T>
void register_unary() {
  unary_forward<Op, T>.set(TERRACE_COLUMN, &forward<Op, T>);
  unary_backward<Op, T>.set(TERRACE_COLUMN, &backward<Op, T>);
}
template <class Op, class T>
void register_binary() {
  binary_forward<Op, T>.set(TERRACE_COLUMN, &forward_binary<Op, T>);
  binary_backward_a<Op, T>.set(TERRACE_COLUMN, &backward_binary<Side::kA, Op, T>);
  binary_backward_b<Op, T>.set(TERRACE_COLUMN, &backward_binary<Side::kB, Op, T>);
}

struct RegisterFormulas {
  template <class T>
  void operator()() const {
    of_type<T>(UnaryOps{}, BinaryOps{});
  }

 private:
  template <class T, class... Unary, class... Binary>
  static void of_type(std::tuple<Unary...>, std::tuple<Binary...>) {
    (register_unary<Unary, T>(), ...);
    (register_binary<Binary, T>(), ...);
  }
};

TERRACE_REGISTER_BY(for_each_float(RegisterFormulas{}));
TERRACE_REGISTER_FLOATS(add_scaled, add_with_factor);

}  // namespace
}  // namespace terrace
