#include "autograd/ops/where.h"

#include "autograd/node.h"
#include "tensor/kernels/where.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

Tensor broadcast_to(const Tensor& x, const Shape& shape) { return x.expand(shape).contiguous(); }

/// condition ? a : b of tensors of one shape; an undefined one stands for zeros.
Tensor select_by(const Tensor& condition, const Tensor& a, const Tensor& b, DType dtype) {
  Tensor y = Tensor::empty(condition.shape(), dtype, condition.device());
  const auto* mask = static_cast<const uint8_t*>(condition.raw_data());
  visit_floating(dtype, "where", [&](auto tag) {
    using T = typename decltype(tag)::type;
    where_select<T>(condition.device(), condition.numel(), mask, data_or_null<T>(a), data_or_null<T>(b), y.data<T>());
  });
  return y;
}

}  // namespace

Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
  if (condition.dtype() != DType::kBool && condition.dtype() != DType::kU8) {
    throw DTypeError(cat("where: condition must be bool or u8, got ", condition.describe()));
  }
  check_one_device("where", {{"condition", condition}, {"a", a.value()}, {"b", b.value()}});
  check_dtype(b.value(), a.dtype(), "where", "b");
  const Shape shape = broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), "where"), condition.shape(), "where");
  const Tensor mask = broadcast_to(condition, shape);
  Tensor y = select_by(mask, broadcast_to(a.value(), shape), broadcast_to(b.value(), shape), a.dtype());
  return record("where", std::move(y), {a, b},
                [mask = Saved(mask), from_a = a.shape(), from_b = b.shape(), a_wanted = a.requires_grad(),
                 b_wanted = b.requires_grad()](const Tensor& dy) -> Gradients {
                  const Tensor gradient = dy.contiguous(), chosen = mask.get("where");
                  Tensor da, db;
                  if (a_wanted) { da = sum_to(select_by(chosen, gradient, {}, dy.dtype()), from_a); }
                  if (b_wanted) { db = sum_to(select_by(chosen, {}, gradient, dy.dtype()), from_b); }
                  return {da, db};
                });
}

}  // namespace terrace
