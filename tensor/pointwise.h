// Pointwise functions of tensors without a graph. The formulas are in tensor/base/formulas.h.
#pragma once

#include "tensor/base/formulas.h"
#include "tensor/tensor.h"

namespace terrace {

/// y = op.f(x) elementwise, for the structs of UnaryOps.
template <class Op>
Tensor apply(const Op& op, const Tensor& x);
/// dx = dy * op.df(x, y). What the derivative does not read (Op::kReads) may be undefined.
template <class Op>
Tensor apply_backward(const Op& op, const Tensor& x, const Tensor& y, const Tensor& dy);
/// y = op.f(a, b) with broadcasting, for the structs of BinaryOps. Both of one dtype.
template <class Op>
Tensor apply(const Op& op, const Tensor& a, const Tensor& b);
/// dy * op.da(a, b) or dy * op.db(a, b), of dy's shape: the caller sums it to the operand's (sum_to in
/// tensor/reduce.h). What the derivative does not read (Op::kReadsA, Op::kReadsB) may be undefined.
enum class Operand : uint8_t { kA, kB };
template <class Op>
Tensor apply_backward(const Op& op, Operand which, const Tensor& a, const Tensor& b, const Tensor& dy);

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double factor);  // x * factor
Tensor add_scalar(const Tensor& x, double term);

// In place; y may share memory with x (it is read as it was before). ShapeError where x is an expanded view.
Tensor& add_(Tensor& x, const Tensor& y, double factor = 1);  // x += factor * y, y broadcasts to x
Tensor& scale_(Tensor& x, double factor);

}  // namespace terrace
