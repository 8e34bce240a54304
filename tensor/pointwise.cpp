#include "tensor/pointwise.h"

#include "tensor/kernels/pointwise.h"
#include "tensor/overlap.h"

namespace terrace {

template <class Op>
Tensor apply(const Op& op, const Tensor& x) {
  const Tensor source = x.contiguous();
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), Op::kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    unary_forward<Op, T>(x.device(), op, source.data<T>(), y.data<T>(), y.numel());
  });
  return y;
}

template <class Op>
Tensor apply_backward(const Op& op, const Tensor& x, const Tensor& y, const Tensor& dy) {
  const Tensor dys = dy.contiguous();
  // dy stands in for what the derivative does not read: the kernel gets memory of the right size.
  const Tensor xs = reads(Op::kReads, Reads::kX) ? x.contiguous() : dys;
  const Tensor ys = reads(Op::kReads, Reads::kY) ? y.contiguous() : dys;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  visit_floating(dy.dtype(), Op::kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    unary_backward<Op, T>(dy.device(), op, xs.data<T>(), ys.data<T>(), dys.data<T>(), dx.data<T>(), dx.numel());
  });
  return dx;
}

namespace {

void check_operands(const Tensor& a, const Tensor& b, const char* op) {
  check_one_device(op, {{"a", a}, {"b", b}});
  if (a.dtype() != b.dtype()) {
    throw DTypeError(cat(op, ": both operands must have one dtype, got ", a.describe(), " and ", b.describe(),
                         "; convert one with to()"));
  }
}

}  // namespace

template <class Op>
Tensor apply(const Op& op, const Tensor& a, const Tensor& b) {
  check_operands(a, b, Op::kName);
  const Shape shape = broadcast_shapes(a.shape(), b.shape(), Op::kName);
  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  if (y.numel() == 0) { return y; }
  const auto plan = plan_loops<3>(shape, {y.strides(), broadcast_strides(a.shape(), a.strides(), shape),
                                          broadcast_strides(b.shape(), b.strides(), shape)});
  visit_floating(a.dtype(), Op::kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    binary_forward<Op, T>(a.device(), op, y.data<T>(), a.data<T>(), b.data<T>(), plan);
  });
  return y;
}

template <class Op>
Tensor apply_backward(const Op& op, Operand which, const Tensor& a, const Tensor& b, const Tensor& dy) {
  const Shape& shape = dy.shape();
  Tensor d = Tensor::empty(shape, dy.dtype(), dy.device());
  if (d.numel() == 0) { return d; }
  const Reads read = which == Operand::kA ? Op::kReadsA : Op::kReadsB;
  const Tensor &as = reads(read, Reads::kA) ? a : dy, &bs = reads(read, Reads::kB) ? b : dy;
  const auto plan = plan_loops<4>(shape, {d.strides(), broadcast_strides(as.shape(), as.strides(), shape),
                                          broadcast_strides(bs.shape(), bs.strides(), shape), dy.strides()});
  visit_floating(dy.dtype(), Op::kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto& kernel = which == Operand::kA ? binary_backward_a<Op, T> : binary_backward_b<Op, T>;
    kernel(dy.device(), op, d.data<T>(), as.data<T>(), bs.data<T>(), dy.data<T>(), plan);
  });
  return d;
}

Tensor add(const Tensor& a, const Tensor& b) { return apply(Add{}, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return apply(Sub{}, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply(Mul{}, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return apply(Div{}, a, b); }
Tensor scale(const Tensor& x, double factor) { return apply(Scale{factor}, x); }
Tensor add_scalar(const Tensor& x, double term) { return apply(AddScalar{term}, x); }

Tensor& add_(Tensor& x, const Tensor& y, double factor) {
  check_operands(x, y, "add_");
  if (broadcast_shapes(x.shape(), y.shape(), "add_") != x.shape()) {
    throw ShapeError(cat("add_: ", y.describe(), " does not broadcast to ", x.describe()));
  }
  check_writable(x, "add_");
  if (x.numel() == 0) { return x; }
  const Tensor term = source_for_write(x, y.expand(x.shape()));
  const auto plan = plan_loops<2>(x.shape(), {x.strides(), term.strides()});
  visit_floating(x.dtype(), "add_", [&](auto tag) {
    using T = typename decltype(tag)::type;
    add_scaled<T>(x.device(), x.data<T>(), term.data<T>(), factor, plan);
  });
  x.bump_version();
  return x;
}

Tensor& scale_(Tensor& x, double factor) {
  check_writable(x, "scale_");
  if (!x.is_contiguous()) { return x.copy_(scale(x, factor)); }
  visit_floating(x.dtype(), "scale_", [&](auto tag) {
    using T = typename decltype(tag)::type;
    unary_forward<Scale, T>(x.device(), Scale{factor}, x.data<T>(), x.data<T>(), x.numel());
  });
  x.bump_version();
  return x;
}

namespace {

// Takes the address of every instantiation, so that each formula's functions are in this object for the linker to find.
template <class... Unary, class... Binary>
auto instantiate(std::tuple<Unary...>, std::tuple<Binary...>) {
  return std::tuple(
      static_cast<Tensor (*)(const Unary&, const Tensor&)>(&apply<Unary>)...,
      static_cast<Tensor (*)(const Unary&, const Tensor&, const Tensor&, const Tensor&)>(&apply_backward<Unary>)...,
      static_cast<Tensor (*)(const Binary&, const Tensor&, const Tensor&)>(&apply<Binary>)...,
      static_cast<Tensor (*)(const Binary&, Operand, const Tensor&, const Tensor&, const Tensor&)>(
          &apply_backward<Binary>)...);
}
[[maybe_unused]] const auto instances = instantiate(UnaryOps{}, BinaryOps{});

}  // namespace
}  // namespace terrace
