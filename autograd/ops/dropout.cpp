#include "autograd/ops/dropout.h"

#include "autograd/node.h"
#include "tensor/kernels/dropout.h"
#include "tensor/random.h"

namespace terrace {
namespace {

void check_probability(double p, const char* op) {
  if (!(p >= 0 && p <= 1)) { throw ConfigError(cat(op, ": the probability must be in [0, 1], got ", p)); }
}

double kept_factor(double p) { return p < 1 ? 1 / (1 - p) : 0; }

/// The next `count` draws of default_generator(), which moves on behind them.
struct Draws {
  Generator start;
  Tensor key;  // of a DrawKey

  Draws(int64_t count, Device device) : start(default_generator()), key(draw_key(device)) {
    default_generator().offset += static_cast<uint64_t>(count);
  }
  DrawRange range() const { return {start.seed, start.stream, start.offset, data_or_null<int64_t>(key)}; }
};

Tensor drop_elements(const Tensor& x, const Draws& draws, double p) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  visit_floating(x.dtype(), "dropout", [&](auto tag) {
    using T = typename decltype(tag)::type;
    dropout_apply<T>(x.device(), x.data<T>(), y.data<T>(), x.numel(), draws.range(), p, kept_factor(p));
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
  if (!training || p == 0) { return x; }
  const Draws draws(x.numel(), x.device());
  return record("dropout", drop_elements(x.value().contiguous(), draws, p), {x},
                [draws, p](const Tensor& dy) -> Gradients { return {drop_elements(dy.contiguous(), draws, p)}; });
}

Variable drop_path(const Variable& x, double p, bool training) {
  check_probability(p, "drop_path");
  if (x.ndim() == 0) { throw ShapeError("drop_path: x must be (B, ...), got a scalar"); }
  if (!training || p == 0) { return x; }
  const Tensor draws = Tensor::empty({x.dim(0)}, DType::kF32, x.device());
  uniform_draws(x.device(), draws.data<float>(), x.dim(0), Draws(x.dim(0), x.device()).range());
  return record("drop_path", drop_samples(x.value().contiguous(), draws, p), {x},
                [draws, p](const Tensor& dy) -> Gradients { return {drop_samples(dy.contiguous(), draws, p)}; });
}

Tensor drop_indices(const Tensor& indices_in, double p, int64_t replacement) {
  check_probability(p, "drop_indices");
  check_dtype(indices_in, DType::kI64, "drop_indices", "indices");
  const Tensor indices = indices_in.contiguous();
  const Tensor y = Tensor::empty(indices.shape(), DType::kI64, indices.device());
  replace_indices(indices.device(), indices.data<int64_t>(), y.data<int64_t>(), indices.numel(),
                  Draws(indices.numel(), indices.device()).range(), p, replacement);
  return y;
}

}  // namespace terrace
