// Loops over the formulas of tensor/base/formulas.h, one slot per formula and type.
#pragma once

#include "tensor/base/dtype.h"
#include "tensor/base/formulas.h"
#include "tensor/base/loop_plan.h"
#include "tensor/device/kernel.h"

namespace terrace {

/// y[i] = op.f(x[i]).
template <class Op, class T>
inline constinit Kernel<void(const Op& op, const T* x, T* y, int64_t count)> unary_forward{Op::kName};

/// dx[i] = dy[i] * op.df(x[i], y[i]).
template <class Op, class T>
inline constinit Kernel<void(const Op& op, const T* x, const T* y, const T* dy, T* dx, int64_t count)> unary_backward{
    Op::kName};

/// y = op.f(a, b); operands 0, 1, 2 of the plan are y, a, b.
template <class Op, class T>
inline constinit Kernel<void(const Op& op, T* y, const T* a, const T* b, const LoopPlan<3>& plan)> binary_forward{
    Op::kName};

/// d = dy * op.da(a, b) (or db), of the broadcast shape; operands 0..3 of the plan are d, a, b, dy.
template <class Op, class T>
inline constinit Kernel<void(const Op& op, T* d, const T* a, const T* b, const T* dy, const LoopPlan<4>& plan)>
    binary_backward_a{Op::kName};
template <class Op, class T>
inline constinit Kernel<void(const Op& op, T* d, const T* a, const T* b, const T* dy, const LoopPlan<4>& plan)>
    binary_backward_b{Op::kName};

/// x += factor * y; operands 0, 1 of the plan are x, y.
template <class T>
inline constinit Kernel<void(T* x, const T* y, double factor, const LoopPlan<2>& plan)> add_scaled{"add_"};

// --- For the files that fill these slots ---------------------------------------------------------------------------

/// f<T>() for every type that the formulas are computed in.
template <class F>
void for_each_float(const F& f) {
  f.template operator()<float>();
  f.template operator()<BFloat16>();
  f.template operator()<double>();
}

}  // namespace terrace
