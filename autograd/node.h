// What an op card needs to enter the graph: record(), needs_grad() and Saved.
//
//   Variable softmax(const Variable& x) {
//     Tensor y = ...;                                             // forward
//     return record("softmax", y, {x}, [y = Saved(y)](const Tensor& dy) -> Gradients {
//       return {softmax_backward(y.get("softmax"), dy)};          // one gradient per input, undefined where none
//     });
//   }
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

using Gradients = std::vector<Tensor>;
using BackwardFunction = std::function<Gradients(const Tensor& dy)>;
using MultiBackwardFunction = std::function<Gradients(const Gradients& dys)>;

/// One op of the graph. Nodes are released iteratively, so depth never overflows the stack.
class Node {
 public:
  /// Where a gradient goes: to output `index` of another node, or to a leaf; neither where none is needed.
  struct Edge {
    std::shared_ptr<Node> node;
    int index = 0;
    std::shared_ptr<Variable::Impl> leaf;
    bool needed() const { return node || leaf; }
  };
  /// What the engine checks a gradient against, and the hooks that see it.
  struct Output {
    Shape shape;
    DType dtype = DType::kF32;
    std::vector<GradientHook> hooks;
    bool retain = false;  // store the gradient in `variable` while that is alive
    std::weak_ptr<Variable::Impl> variable;
  };

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  const char* name = "";
  uint64_t sequence = 0;  // grows with creation; the engine runs the largest first
  std::vector<Edge> inputs;
  std::vector<Output> outputs;
  MultiBackwardFunction backward;  // emptied once run, unless the graph is retained
  /// Of a checkpoint, in place of `backward`: gives the result again with the graph that makes it, and the engine goes
  /// on into that graph. Emptied like `backward`.
  std::function<Variable()> recompute;
};

/// A tensor kept for backward. get() throws AutogradError if it was written to in place since.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& t) : tensor_(t), version_(t.defined() ? t.version() : 0) {}
  explicit Saved(const Variable& v) : Saved(v.defined() ? v.value() : Tensor()) {}
  const Tensor& get(const char* op) const;
  bool defined() const { return tensor_.defined(); }

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
};

/// True if gradients are on and any of these needs one: then an op saves what its backward wants.
bool needs_grad(const std::vector<Variable>& inputs);

/// Wraps `value` as the result of `op`. Without needs_grad(inputs) it is a constant and `backward` is dropped.
Variable record(const char* op, Tensor value, const std::vector<Variable>& inputs, BackwardFunction backward);

/// The same for several results; `dys` has undefined tensors for results nobody used.
std::vector<Variable> record_outputs(const char* op, std::vector<Tensor> values, const std::vector<Variable>& inputs,
                                     MultiBackwardFunction backward);

}  // namespace terrace
