#include "autograd/checkpoint.h"

#include "autograd/node.h"
#include "tensor/generator_scope.h"

namespace terrace {
namespace {

/// Throws AutogradError unless every input still has the value that the first computation saw.
void check_unchanged(const std::vector<Variable>& inputs, const std::vector<Saved>& saved) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& first = saved[i].get("checkpoint");
    if (first.defined() && inputs[i].value().raw_data() != first.raw_data()) {
      throw AutogradError(cat("checkpoint: input ", i, " (", first.describe(),
                              ") was given another value before the gradient arrived"));
    }
  }
}

}  // namespace

Variable checkpoint(const std::function<Variable(const std::vector<Variable>&)>& fn,
                    const std::vector<Variable>& inputs) {
  if (!grad_enabled()) { return fn(inputs); }
  const Generator start = default_generator();
  Tensor y;
  {
    NoGrad no_grad;
    y = fn(inputs).value();
  }
  std::vector<Saved> saved;
  for (const Variable& input : inputs) { saved.emplace_back(input); }
  // A captured parameter may need gradients where no input does; this constant ties the node into the graph.
  std::vector<Variable> recorded = inputs;
  recorded.emplace_back(Tensor::zeros({}), Requires::kGrad);
  Variable result = record_outputs("checkpoint", {std::move(y)}, recorded, nullptr)[0];
  result.node()->recompute = [fn, inputs, saved, start] {
    check_unchanged(inputs, saved);
    const GeneratorScope generator(start);
    const EnableGrad enable;
    return fn(inputs);
  };
  return result;
}

}  // namespace terrace
