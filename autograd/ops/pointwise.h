// Pointwise ops of variables: one card for all.
//
//   y = f(x);   dx = dy * f'(x)                          y = f(a, b);   da = dy * df/da;   db = dy * df/db
//
// with f and its derivatives from tensor/base/formulas.h.
//
// Shapes: y has x's shape (unary) or the broadcast shape (binary; the gradients are summed back to each operand's).
// Saves: what the formula says its derivative reads, and of two operands only for those that need a gradient: y for
//   exp, sqrt, tanh, sigmoid and relu; x for the other functions; nothing for neg, scale, add_scalar, add and sub; for
//   a * b the other operand. What is not saved may be written to in place.
// Errors: DTypeError unless f32, bf16 or f64 alike, ShapeError where shapes do not broadcast, ConfigError for a clamp
//   whose low is above its high.
// Numerics: bf16 is computed in f32 and rounded at the end; elementary functions within 2 ulp (tensor/base/math.h).
// Source: the functions of these names in torch and torch.nn.functional; gelu_tanh is gelu with approximate="tanh".
#pragma once

#include "autograd/node.h"
#include "tensor/base/formulas.h"

namespace terrace {

/// Any formula of UnaryOps or BinaryOps, which are compiled in pointwise.cpp.
template <class Op>
Variable apply(const Op& op, const Variable& x);
template <class Op>
Variable apply(const Op& op, const Variable& a, const Variable& b);

inline Variable exp(const Variable& x) { return apply(Exp{}, x); }
inline Variable log(const Variable& x) { return apply(Log{}, x); }
inline Variable sqrt(const Variable& x) { return apply(Sqrt{}, x); }
inline Variable square(const Variable& x) { return apply(Square{}, x); }
inline Variable neg(const Variable& x) { return apply(Neg{}, x); }
inline Variable abs(const Variable& x) { return apply(Abs{}, x); }
inline Variable tanh(const Variable& x) { return apply(Tanh{}, x); }
inline Variable sigmoid(const Variable& x) { return apply(Sigmoid{}, x); }
inline Variable silu(const Variable& x) { return apply(Silu{}, x); }
inline Variable gelu_tanh(const Variable& x) { return apply(GeluTanh{}, x); }
inline Variable gelu_erf(const Variable& x) { return apply(GeluErf{}, x); }
inline Variable relu(const Variable& x) { return apply(Relu{}, x); }
inline Variable leaky_relu(const Variable& x, double slope) { return apply(LeakyRelu{slope}, x); }
Variable clamp(const Variable& x, double low, double high);
Variable clamp_max(const Variable& x, double high);
Variable clamp_min(const Variable& x, double low);
inline Variable scale(const Variable& x, double factor) { return apply(Scale{factor}, x); }
Variable add_scalar(const Variable& x, double term);

Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
inline Variable mul(const Variable& a, const Variable& b) { return apply(Mul{}, a, b); }
inline Variable div(const Variable& a, const Variable& b) { return apply(Div{}, a, b); }
inline Variable maximum(const Variable& a, const Variable& b) { return apply(Maximum{}, a, b); }
inline Variable minimum(const Variable& a, const Variable& b) { return apply(Minimum{}, a, b); }

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& x) { return neg(x); }
inline Variable operator*(const Variable& x, double factor) { return scale(x, factor); }
inline Variable operator*(double factor, const Variable& x) { return scale(x, factor); }
inline Variable operator+(const Variable& x, double term) { return add_scalar(x, term); }

}  // namespace terrace
