#include "autograd/ops/cross_entropy.h"

#include "autograd/node.h"
#include "autograd/ops/rows.h"
#include "tensor/kernels/cross_entropy.h"

namespace terrace {
namespace {

constexpr const char* kName = "cross_entropy";

void check_arguments(const Tensor& logits, const Tensor& targets, double label_smoothing, int64_t classes) {
  check_one_device(kName, {{"logits", logits}, {"targets", targets}});
  check_dtype(targets, DType::kI64, kName, "targets");
  const Shape expected(logits.shape().begin(), logits.shape().end() - 1);
  if (targets.shape() != expected) {
    throw ShapeError(cat(kName, ": targets must be ", expected, ", the logits' shape without its last extent; got ",
                         targets.shape(), " for logits ", logits.describe()));
  }
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    throw ConfigError(cat(kName, ": label_smoothing must be in [0, 1], got ", label_smoothing));
  }
  if (!targets.device().is_cpu()) {
    return;  // reading another device's memory would wait for its kernels
  }
  const int64_t* t = targets.data<int64_t>();
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (t[i] < 0 || t[i] >= classes) {
      throw IndexError(cat(kName, ": target ", i, " is ", t[i], ", but the logits have classes 0 to ", classes - 1));
    }
  }
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Tensor& targets_in, double label_smoothing) {
  const Tensor x = logits.value().contiguous();
  const Rows extent(x, kName);
  const Tensor targets = targets_in.contiguous();
  check_arguments(x, targets, label_smoothing, extent.cols);
  Tensor loss, stats;
  visit_floating(x.dtype(), kName, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Accumulator<T>;
    loss = Tensor::empty(targets.shape(), kDTypeOf<A>, x.device());
    stats = Tensor::empty({extent.rows, 2}, kDTypeOf<A>, x.device());
    cross_entropy_forward<T>(x.device(), x.data<T>(), targets.data<int64_t>(), loss.data<A>(), stats.data<A>(),
                             extent.rows, extent.cols, label_smoothing);
  });
  return record(kName, loss, {logits},
                [x = Saved(x), targets = Saved(targets), stats, extent, label_smoothing](const Tensor& dloss_in) {
                  const Tensor& logit = x.get(kName);
                  const Tensor dloss = dloss_in.contiguous();
                  Tensor dx = Tensor::empty(logit.shape(), logit.dtype(), logit.device());
                  visit_floating(logit.dtype(), kName, [&](auto tag) {
                    using T = typename decltype(tag)::type;
                    using A = Accumulator<T>;
                    cross_entropy_backward<T>(logit.device(), logit.data<T>(), targets.get(kName).data<int64_t>(),
                                              stats.data<A>(), dloss.data<A>(), dx.data<T>(), extent.rows, extent.cols,
                                              label_smoothing);
                  });
                  return Gradients{dx};
                });
}

}  // namespace terrace
