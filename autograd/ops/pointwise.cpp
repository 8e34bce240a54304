#include "autograd/ops/pointwise.h"

#include <limits>

#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {

template <class Op>
Variable apply(const Op& op, const Variable& x) {
  const Tensor y = apply(op, x.value());
  const Saved saved_x = reads(Op::kReads, Reads::kX) ? Saved(x) : Saved();
  const Saved saved_y = reads(Op::kReads, Reads::kY) ? Saved(y) : Saved();
  return record(Op::kName, y, {x}, [op, saved_x, saved_y](const Tensor& dy) -> Gradients {
    return {apply_backward(op, saved_x.get(Op::kName), saved_y.get(Op::kName), dy)};
  });
}

template <class Op>
Variable apply(const Op& op, const Variable& a, const Variable& b) {
  const bool need_a = a.requires_grad(), need_b = b.requires_grad();
  const auto save = [&](const Variable& operand, Reads which) {
    const bool read = (need_a && reads(Op::kReadsA, which)) || (need_b && reads(Op::kReadsB, which));
    return read ? Saved(operand) : Saved();
  };
  return record(Op::kName, apply(op, a.value(), b.value()), {a, b},
                [op, need_a, need_b, saved_a = save(a, Reads::kA), saved_b = save(b, Reads::kB), shape_a = a.shape(),
                 shape_b = b.shape()](const Tensor& dy) -> Gradients {
                  const Tensor &av = saved_a.get(Op::kName), &bv = saved_b.get(Op::kName);
                  Gradients d(2);
                  if (need_a) { d[0] = sum_to(apply_backward(op, Operand::kA, av, bv, dy), shape_a); }
                  if (need_b) { d[1] = sum_to(apply_backward(op, Operand::kB, av, bv, dy), shape_b); }
                  return d;
                });
}

Variable clamp(const Variable& x, double low, double high) {
  if (low > high) { throw ConfigError(cat("clamp: low ", low, " is above high ", high)); }
  return apply(Clamp{low, high}, x);
}
Variable clamp_max(const Variable& x, double high) { return clamp(x, -std::numeric_limits<double>::infinity(), high); }
Variable clamp_min(const Variable& x, double low) { return clamp(x, low, std::numeric_limits<double>::infinity()); }

// Where the derivative is 1 or -1, dy is passed on (summed to the operand's shape) without multiplying its elements.
Variable add_scalar(const Variable& x, double term) {
  return record("add_scalar", add_scalar(x.value(), term), {x}, [](const Tensor& dy) -> Gradients { return {dy}; });
}
Variable add(const Variable& a, const Variable& b) {
  return record("add", add(a.value(), b.value()), {a, b},
                [shape_a = a.shape(), shape_b = b.shape(), need_a = a.requires_grad(),
                 need_b = b.requires_grad()](const Tensor& dy) -> Gradients {
                  return {need_a ? sum_to(dy, shape_a) : Tensor(), need_b ? sum_to(dy, shape_b) : Tensor()};
                });
}
Variable sub(const Variable& a, const Variable& b) {
  return record("sub", sub(a.value(), b.value()), {a, b},
                [shape_a = a.shape(), shape_b = b.shape(), need_a = a.requires_grad(),
                 need_b = b.requires_grad()](const Tensor& dy) -> Gradients {
                  return {need_a ? sum_to(dy, shape_a) : Tensor(), need_b ? scale(sum_to(dy, shape_b), -1) : Tensor()};
                });
}

namespace {

// Takes the address of every instantiation, so that each formula's functions are in this object for the linker to find.
template <class... Unary, class... Binary>
auto instantiate(std::tuple<Unary...>, std::tuple<Binary...>) {
  return std::tuple(static_cast<Variable (*)(const Unary&, const Variable&)>(&apply<Unary>)...,
                    static_cast<Variable (*)(const Binary&, const Variable&, const Variable&)>(&apply<Binary>)...);
}
[[maybe_unused]] const auto instances = instantiate(UnaryOps{}, BinaryOps{});

}  // namespace
}  // namespace terrace
