#include "autograd/node.h"

#include <atomic>
#include <utility>

#include "autograd/variable_impl.h"
#include "tensor/device/interruption.h"
#include "tensor/reduce.h"

namespace terrace {
namespace {

std::atomic<uint64_t> next_sequence{1};

Node::Edge edge_to(const Variable& v) {
  Node::Edge edge;
  if (!v.requires_grad()) { return edge; }
  if (v.is_leaf()) {
    edge.leaf = v.impl();
  } else {
    edge.node = v.node();
    edge.index = v.output_index();
  }
  return edge;
}

void check_finite(const char* op, const std::vector<Tensor>& values, const std::vector<Variable>& inputs) {
  for (const Variable& input : inputs) {
    if (input.defined() && has_nan(input.value())) {
      return;  // not the first
    }
  }
  for (const Tensor& value : values) {
    if (value.defined() && has_nan(value)) {
      throw AutogradError(cat("anomaly: the forward of ", op, " made the first NaN (result ", value.describe(), ")"));
    }
  }
}

}  // namespace

Node::~Node() {
  // A chain of nodes is held by its last one; letting the handles' destructors recurse would take a stack frame per op.
  std::vector<std::shared_ptr<Node>> doomed;
  const auto take = [&](Node& node) {
    node.backward = nullptr;
    node.recompute = nullptr;
    for (Edge& edge : node.inputs) {
      if (edge.node) { doomed.push_back(std::move(edge.node)); }
    }
  };
  take(*this);
  while (!doomed.empty()) {
    const std::shared_ptr<Node> node = std::move(doomed.back());
    doomed.pop_back();
    if (node.use_count() == 1) { take(*node); }
  }
}

const Tensor& Saved::get(const char* op) const {
  if (tensor_.defined() && tensor_.version() != version_) {
    throw AutogradError(cat(op, ": a tensor saved for backward (", tensor_.describe(),
                            ") was changed in place since (version ", tensor_.version(), ", saved at ", version_,
                            "); clone it before the change"));
  }
  return tensor_;
}

bool needs_grad(const std::vector<Variable>& inputs) {
  if (!grad_enabled()) { return false; }
  for (const Variable& v : inputs) {
    if (v.requires_grad()) { return true; }
  }
  return false;
}

Variable record(const char* op, Tensor value, const std::vector<Variable>& inputs, BackwardFunction backward) {
  MultiBackwardFunction multi;
  if (needs_grad(inputs)) {
    multi = [backward = std::move(backward)](const Gradients& dys) { return backward(dys[0]); };
  }
  return record_outputs(op, {std::move(value)}, inputs, std::move(multi))[0];
}

std::vector<Variable> record_outputs(const char* op, std::vector<Tensor> values, const std::vector<Variable>& inputs,
                                     MultiBackwardFunction backward) {
  interruption_point();
  if (anomaly_mode()) { check_finite(op, values, inputs); }
  std::shared_ptr<Node> node;
  if (needs_grad(inputs)) {
    node = std::make_shared<Node>();
    node->name = op;
    node->sequence = next_sequence++;
    node->backward = std::move(backward);
    for (const Variable& input : inputs) { node->inputs.push_back(edge_to(input)); }
  }
  std::vector<Variable> results;
  for (Tensor& value : values) {
    Variable result(std::move(value));
    if (node && is_floating(result.dtype())) {
      result.impl()->node = node;
      result.impl()->output = static_cast<int>(node->outputs.size());
      result.impl()->requires_grad = true;
    }
    if (node) { node->outputs.push_back({result.shape(), result.dtype(), {}, false, result.impl()}); }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace terrace
