#include "autograd/ops/reduce.h"

#include <algorithm>

#include "tensor/pointwise.h"

namespace terrace {
namespace {

/// The shape of x with the reduced dimensions kept as 1.
Shape kept_shape(const Shape& shape, const std::vector<int64_t>& dims, const char* op) {
  Shape kept = shape;
  for (int64_t i = 0; i < shape.size(); ++i) {
    if (dims.empty()) { kept[i] = 1; }
  }
  for (int64_t d : dims) { kept[normalize_dim(d, shape.size(), op)] = 1; }
  return kept;
}

Variable record_sum(const char* op, Tensor y, const Variable& x, const std::vector<int64_t>& dims, double factor) {
  return record(op, std::move(y), {x},
                [shape = x.shape(), kept = kept_shape(x.shape(), dims, op), factor](const Tensor& dy) -> Gradients {
                  const Tensor scaled = factor == 1 ? dy : scale(dy, factor);
                  return {scaled.reshape(kept).expand(shape)};
                });
}

/// 1 where x equals the (kept) maximum m, else 0: twice what the derivative of maximum(x, m) gives to equal arguments.
Tensor equals_mask(const Tensor& x, const Tensor& m) {
  const Tensor two = Tensor::full(x.shape(), 2, x.dtype(), x.device());
  return apply_backward(Maximum{}, Operand::kA, x, m, two);
}

}  // namespace

Variable sum(const Variable& x, const std::vector<int64_t>& dims, KeepDim keep) {
  return record_sum("sum", sum(x.value(), dims, keep), x, dims, 1);
}

Variable mean(const Variable& x, const std::vector<int64_t>& dims, KeepDim keep) {
  Tensor y = mean(x.value(), dims, keep);
  const double count = static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(y.numel(), 1));
  return record_sum("mean", std::move(y), x, dims, 1 / count);
}

Variable max(const Variable& x, const std::vector<int64_t>& dims, KeepDim keep) {
  const Tensor y = max(x.value(), dims, keep);
  return record("max", y, {x},
                [saved_x = Saved(x), saved_y = Saved(y), dims,
                 kept = kept_shape(x.shape(), dims, "max")](const Tensor& dy) -> Gradients {
                  const Tensor& xv = saved_x.get("max");
                  const Tensor mask = equals_mask(xv, saved_y.get("max").reshape(kept));
                  const Tensor ties = sum(mask, dims, KeepDim::kYes);
                  return {mul(mask, div(dy.reshape(kept), ties))};
                });
}

}  // namespace terrace
