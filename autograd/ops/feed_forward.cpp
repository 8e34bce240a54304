#include "autograd/ops/feed_forward.h"

#include "autograd/ops/rows.h"
#include "tensor/matmul.h"

namespace terrace {
namespace {

constexpr const char* kName = "feed_forward";

/// Which gradients are wanted, in the order of the inputs.
struct Wanted {
  bool x, weight1, bias1, weight2, bias2;
};

struct SavedTensors {
  Saved x, pre_activation, hidden, weight1, weight2;
};

/// In the order x, weight1, bias1, weight2, bias2.
Gradients backward(const SavedTensors& saved, const Wanted& wanted, const Tensor& dy) {
  Gradients d(5);
  LinearGradients outer = linear_parameter_gradients(dy, saved.hidden.get(kName), {wanted.weight2, wanted.bias2});
  d[3] = std::move(outer.weight);
  d[4] = std::move(outer.bias);
  if (!wanted.x && !wanted.weight1 && !wanted.bias1) { return d; }
  GeluGradients inner =
      linear_gelu_gradients(dy, saved.weight2.get(kName), saved.pre_activation.get(kName), BiasGradient{wanted.bias1});
  d[2] = std::move(inner.bias);
  d[1] = linear_parameter_gradients(inner.pre_activation, saved.x.get(kName), {wanted.weight1, false}).weight;
  if (wanted.x) {
    d[0] = matmul(as_rows(inner.pre_activation), saved.weight1.get(kName)).reshape(saved.x.get(kName).shape());
  }
  return d;
}

}  // namespace

Variable feed_forward(const Variable& x, const Variable& weight1, const Variable& bias1, const Variable& weight2,
                      const Variable& bias2) {
  check_one_device(kName, {{"x", x.value()},
                           {"weight1", weight1.value()},
                           {"bias1", value_or_none(bias1)},
                           {"weight2", weight2.value()},
                           {"bias2", value_or_none(bias2)}});
  std::vector<Variable> inputs{x, weight1};
  if (bias1.defined()) { inputs.push_back(bias1); }
  inputs.push_back(weight2);
  if (bias2.defined()) { inputs.push_back(bias2); }
  Tensor pre_activation;
  const Tensor hidden =
      linear_gelu(x.value(), weight1.value(), value_or_none(bias1), needs_grad(inputs) ? &pre_activation : nullptr);
  Tensor y = linear(hidden, weight2.value(), value_or_none(bias2));
  if (!pre_activation.defined()) { return Variable(std::move(y)); }
  const Wanted wanted{x.requires_grad(), weight1.requires_grad(), bias1.requires_grad(), weight2.requires_grad(),
                      bias2.requires_grad()};
  return record(kName, std::move(y), inputs,
                [saved = SavedTensors{Saved(x), Saved(pre_activation), Saved(hidden), Saved(weight1), Saved(weight2)},
                 wanted, has_bias1 = bias1.defined(), has_bias2 = bias2.defined()](const Tensor& dy) {
                  Gradients d = backward(saved, wanted, dy);
                  if (!has_bias2) { d.pop_back(); }
                  if (!has_bias1) { d.erase(d.begin() + 2); }
                  return d;
                });
}

}  // namespace terrace
