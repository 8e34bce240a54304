// The backward pass: nodes in the reverse order of their creation, each once, all its gradients summed before it runs.
// Iterative: neither deep nor wide graphs use the stack. A checkpoint's node makes its part of the graph when it runs;
// those nodes are the youngest, so they run next, in the place that they would have had without the checkpoint.
#include <queue>
#include <unordered_map>
#include <utility>

#include "autograd/variable_impl.h"
#include "tensor/device/interruption.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

class Engine {
 public:
  /// `wanted`: the variables whose gradients are collected; empty means every leaf, by accumulation into grad().
  Engine(const std::vector<Variable>& wanted, RetainGraph retain) : retain_(retain) {
    for (const Variable& v : wanted) {
      collected_[v.impl().get()] = Tensor();
      if (v.node()) { wanted_outputs_[{v.node().get(), v.output_index()}] = v.impl().get(); }
    }
  }

  void seed(const Variable& output, Tensor gradient) {
    Node::Edge edge;
    if (output.is_leaf()) {
      edge.leaf = output.impl();
    } else {
      edge.node = output.node();
      edge.index = output.output_index();
    }
    deliver(edge, std::move(gradient));
  }

  void run() {
    while (!ready_.empty()) {
      interruption_point();
      const std::shared_ptr<Node> node = ready_.top().node;
      ready_.pop();
      Gradients dys = std::move(pending_.at(node.get()));
      pending_.erase(node.get());
      run_node(*node, dys);
    }
    for (auto& [impl, gradient] : leaves_) { finish_leaf(impl, std::move(gradient)); }
  }

  Tensor collected(const Variable& v) { return collected_.at(v.impl().get()); }

 private:
  struct Entry {
    std::shared_ptr<Node> node;
    bool operator<(const Entry& other) const { return node->sequence < other.node->sequence; }
  };
  struct OutputHash {
    size_t operator()(const std::pair<Node*, int>& p) const {
      return std::hash<Node*>()(p.first) * 31 + static_cast<size_t>(p.second);
    }
  };

  void deliver(const Node::Edge& edge, Tensor gradient) {
    if (edge.leaf) {
      auto [it, fresh] = leaf_index_.try_emplace(edge.leaf.get(), leaves_.size());
      if (fresh) { leaves_.emplace_back(edge.leaf, Tensor()); }
      add_gradient(leaves_[it->second].second, std::move(gradient));
      return;
    }
    auto [it, fresh] = pending_.try_emplace(edge.node.get());
    if (fresh) {
      it->second.resize(edge.node->outputs.size());
      ready_.push({edge.node});
    }
    add_gradient(it->second[static_cast<size_t>(edge.index)], std::move(gradient));
  }

  void run_node(Node& node, Gradients& dys) {
    for (size_t i = 0; i < dys.size(); ++i) {
      if (dys[i].defined()) { finish_output(node, static_cast<int>(i), dys[i]); }
    }
    if (node.recompute) { return run_recomputed(node, std::move(dys[0])); }
    if (!node.backward) {
      throw AutogradError(cat("backward through ", node.name,
                              " a second time: its saved tensors are gone; pass "
                              "RetainGraph::kYes the first time"));
    }
    Gradients dxs;
    if (retain_ == RetainGraph::kYes) {
      dxs = node.backward(dys);
    } else {
      MultiBackwardFunction once = std::move(node.backward);
      node.backward = nullptr;
      dxs = once(dys);
    }
    if (dxs.size() != node.inputs.size()) {
      throw AutogradError(
          cat(node.name, ": its backward gave ", dxs.size(), " gradients for ", node.inputs.size(), " inputs"));
    }
    if (anomaly_mode()) { check_anomaly(node, dys, dxs); }
    dys.clear();
    for (size_t i = 0; i < dxs.size(); ++i) {
      if (!dxs[i].defined() || !node.inputs[i].needed()) { continue; }
      check_fits(node, node.inputs[i], dxs[i]);
      deliver(node.inputs[i], std::move(dxs[i]));
    }
  }

  void run_recomputed(Node& node, Tensor dy) {
    Variable result;
    if (retain_ == RetainGraph::kYes) {
      result = node.recompute();
    } else {
      const std::function<Variable()> once = std::exchange(node.recompute, nullptr);
      result = once();
    }
    const Node::Output& first = node.outputs[0];
    if (result.shape() != first.shape || result.dtype() != first.dtype) {
      throw AutogradError(cat(node.name, ": its function gave ", result.value().describe(), " when computed again, ",
                              first.shape, " ", first.dtype, " the first time"));
    }
    if (result.requires_grad()) { seed(result, std::move(dy)); }
  }

  static void check_fits(const Node& node, const Node::Edge& edge, const Tensor& gradient) {
    const Shape& shape =
        edge.leaf ? edge.leaf->value.shape() : edge.node->outputs[static_cast<size_t>(edge.index)].shape;
    const DType dtype =
        edge.leaf ? edge.leaf->value.dtype() : edge.node->outputs[static_cast<size_t>(edge.index)].dtype;
    if (gradient.shape() != shape || gradient.dtype() != dtype) {
      throw AutogradError(
          cat(node.name, ": its backward gave a gradient ", gradient.describe(), " for an input ", shape, " ", dtype));
    }
  }

  static void check_anomaly(const Node& node, const Gradients& dys, const Gradients& dxs) {
    for (const Tensor& dy : dys) {
      if (dy.defined() && has_nan(dy)) { return; }
    }
    for (const Tensor& dx : dxs) {
      if (dx.defined() && has_nan(dx)) {
        throw AutogradError(
            cat("anomaly: the backward of ", node.name, " made the first NaN (gradient ", dx.describe(), ")"));
      }
    }
  }

  /// Callers may scale and clip a gradient in place, so each variable gets storage of its own.
  static Tensor own(Tensor gradient) {
    return gradient.sole_owner() && gradient.is_contiguous() ? gradient : gradient.clone();
  }

  static Tensor run_hooks(const std::vector<GradientHook>& hooks, Tensor gradient) {
    for (const GradientHook& hook : hooks) {
      Tensor changed = hook(gradient);
      if (!changed.defined()) { continue; }
      check_shape(changed, gradient.shape(), "hook", "the gradient it returns");
      check_dtype(changed, gradient.dtype(), "hook", "the gradient it returns");
      gradient = std::move(changed);
    }
    return gradient;
  }

  void finish_output(Node& node, int index, Tensor& gradient) {
    const Node::Output& output = node.outputs[static_cast<size_t>(index)];
    gradient = run_hooks(output.hooks, std::move(gradient));
    if (output.retain) {
      if (const auto variable = output.variable.lock()) { add_gradient(variable->grad, own(gradient)); }
    }
    const auto wanted = wanted_outputs_.find({&node, index});
    if (wanted != wanted_outputs_.end()) { collected_[wanted->second] = own(gradient); }
  }

  void finish_leaf(const std::shared_ptr<Variable::Impl>& leaf, Tensor gradient) {
    gradient = run_hooks(leaf->hooks, std::move(gradient));
    if (collected_.empty()) {
      if (!leaf->requires_grad) { return; }
      add_gradient(leaf->grad, own(std::move(gradient)));
    } else if (const auto it = collected_.find(leaf.get()); it != collected_.end()) {
      it->second = own(std::move(gradient));
    }
  }

  RetainGraph retain_;
  std::priority_queue<Entry> ready_;
  std::unordered_map<Node*, Gradients> pending_;
  std::vector<std::pair<std::shared_ptr<Variable::Impl>, Tensor>> leaves_;
  std::unordered_map<Variable::Impl*, size_t> leaf_index_;
  std::unordered_map<Variable::Impl*, Tensor> collected_;
  std::unordered_map<std::pair<Node*, int>, Variable::Impl*, OutputHash> wanted_outputs_;
};

Tensor checked_seed(const Variable& output, Tensor seed) {
  if (!output.requires_grad()) {
    throw AutogradError("backward: the output depends on no variable that requires a gradient");
  }
  if (seed.defined()) {
    check_shape(seed, output.shape(), "backward", "the seed");
    check_dtype(seed, output.dtype(), "backward", "the seed");
    check_one_device("backward", {{"the output", output.value()}, {"the seed", seed}});
    return seed;
  }
  if (output.numel() != 1) {
    throw AutogradError(cat("backward: only a scalar has an implicit seed, this is ", output.value().describe()));
  }
  return Tensor::full(output.shape(), 1, output.dtype(), output.device());
}

}  // namespace

void Variable::backward(Tensor seed, RetainGraph retain) const {
  NoGrad no_grad;
  Engine engine({}, retain);
  engine.seed(*this, checked_seed(*this, std::move(seed)));
  engine.run();
}

std::vector<Tensor> grad(const std::vector<Variable>& outputs, const std::vector<Variable>& inputs,
                         const std::vector<Tensor>& seeds, RetainGraph retain) {
  if (inputs.empty()) { return {}; }
  if (!seeds.empty() && seeds.size() != outputs.size()) {
    throw AutogradError(cat("grad: ", outputs.size(), " outputs need as many seeds, got ", seeds.size()));
  }
  NoGrad no_grad;
  Engine engine(inputs, retain);
  for (size_t i = 0; i < outputs.size(); ++i) {
    engine.seed(outputs[i], checked_seed(outputs[i], seeds.empty() ? Tensor() : seeds[i]));
  }
  engine.run();
  std::vector<Tensor> gradients;
  for (const Variable& v : inputs) { gradients.push_back(engine.collected(v)); }
  return gradients;
}

}  // namespace terrace
