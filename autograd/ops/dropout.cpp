#include "autograd/ops/dropout.h"

#include "autograd/node.h"
#include "tensor/kernels/dropout.h"
#include "tensor/random.h"

namespace terrace {
namespace {

void check_probability(double p, const char* op) {
  if (!(p >= 0 && p <= 1)) throw ConfigError(cat(op, ": the probability must be in [0, 1], got ", p));
}

double kept_factor(double p) { return p < 1 ? 1 / (1 - p) : 0; }

Tensor drop_elements(const Tensor& x, const Generator& start, double p) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "dropout", [&](auto tag) {
    using T = typename decltype(tag)::type;
    dropout_apply<T>(x.device(), x.data<T>(), y.data<T>(), x.numel(), {start.seed, start.stream, start.offset}, p,
                     kept_factor(p));
  });
  return y;
}

Tensor drop_samples(const Tensor& x, const Tensor& draws, double p) {
  const int64_t samples = x.dim(0);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "drop_path", [&](auto tag) {
    using T = typename decltype(tag)::type;
    drop_path_apply<T>(x.device(), x.data<T>(), draws.data<float>(), y.data<T>(), samples,
                       samples == 0 ? 0 : x.numel() / samples, p, kept_factor(p));
  });
  return y;
}

}  // namespace

Variable dropout(const Variable& x, double p, bool training) {
  check_probability(p, "dropout");
  if (!training || p == 0) return x;
  const Generator start = default_generator();
  default_generator().offset += static_cast<uint64_t>(x.numel());
  return record("dropout", drop_elements(x.value().contiguous(), start, p), {x},
                [start, p](const Tensor& dy) -> Gradients { return {drop_elements(dy.contiguous(), start, p)}; });
}

Variable drop_path(const Variable& x, double p, bool training) {
  check_probability(p, "drop_path");
  if (x.ndim() == 0) throw ShapeError("drop_path: x must be (B, ...), got a scalar");
  if (!training || p == 0) return x;
  const Tensor draws = rand({x.dim(0)}, default_generator()).to(x.device());
  return record("drop_path", drop_samples(x.value().contiguous(), draws, p), {x},
                [draws, p](const Tensor& dy) -> Gradients { return {drop_samples(dy.contiguous(), draws, p)}; });
}

}  // namespace terrace
