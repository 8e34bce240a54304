#include "autograd/checkpoint.h"

#include <utility>

#include "autograd/node.h"
#include "tensor/random.h"

namespace terrace {

Variable checkpoint(const std::function<Variable(const std::vector<Variable>&)>& fn,
                    const std::vector<Variable>& inputs) {
  if (!grad_enabled()) return fn(inputs);
  const Generator before = default_generator();
  Tensor y;
  {
    NoGrad no_grad;
    y = fn(inputs).value();
  }
  std::vector<Saved> saved;
  std::vector<Requires> needs;
  for (const Variable& input : inputs) {
    saved.emplace_back(input);
    needs.push_back(input.requires_grad() ? Requires::kGrad : Requires::kNothing);
  }
  // A captured parameter may need gradients where no input does; this constant ties the node into the graph.
  std::vector<Variable> recorded = inputs;
  recorded.emplace_back(Tensor::zeros({}), Requires::kGrad);
  return record("checkpoint", std::move(y), recorded, [fn, saved, needs, before](const Tensor& dy) -> Gradients {
    std::vector<Variable> again;
    for (size_t i = 0; i < saved.size(); ++i) again.emplace_back(saved[i].get("checkpoint"), needs[i]);
    const Generator after = std::exchange(default_generator(), before);
    Variable y_again;
    {
      EnableGrad enable;
      y_again = fn(again);
    }
    default_generator() = after;
    if (y_again.requires_grad()) y_again.backward(dy);
    Gradients gradients;
    for (const Variable& input : again) gradients.push_back(input.grad());
    gradients.emplace_back();
    return gradients;
  });
}

}  // namespace terrace
