// Variable: a tensor that remembers how it was computed.
//
//   Variable w(randn({3, 3}, g), Requires::kGrad);
//   Variable loss = sum(square(matmul(x, w)));
//   loss.backward();                    // w.grad() is d loss / d w
//
// The graph is dynamic: each op records a Node that holds edges to its inputs and a closure for its derivative.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

class Node;
enum class Requires : bool { kNothing = false, kGrad = true };
enum class RetainGraph : bool { kNo = false, kYes = true };
using GradientHook = std::function<Tensor(const Tensor& gradient)>;  // may return its argument, or another gradient

/// A handle; copies refer to the same variable.
class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, Requires requires_gradient = Requires::kNothing);

  bool defined() const { return impl_ != nullptr; }
  const Tensor& value() const;
  Tensor& value();               // for in-place updates; bump_version() is the writer's duty (the _ functions do)
  void set_value(Tensor value);  // replaces a leaf's value, shape and dtype unchanged

  const Shape& shape() const { return value().shape(); }
  int64_t dim(int64_t i) const { return value().dim(i); }
  int64_t ndim() const { return value().ndim(); }
  int64_t numel() const { return value().numel(); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }
  template <class T>
  T item() const {
    return value().item<T>();
  }

  bool requires_grad() const;
  void set_requires_grad(Requires requires_gradient);  // leaves only
  bool is_leaf() const;
  const Tensor& grad() const;      // undefined where no gradient has arrived
  void set_grad(Tensor gradient);  // checks shape and dtype; an undefined tensor clears
  void zero_grad() { set_grad(Tensor()); }
  void accumulate_grad(Tensor gradient);  // checked; takes over the tensor's memory where it is the sole owner

  /// Gradient of this scalar (or of sum(this * seed)) is added to grad() of every leaf below.
  void backward(Tensor seed = {}, RetainGraph retain = RetainGraph::kNo) const;
  void retain_grad() const;                     // keep grad() of this non-leaf too
  void register_hook(GradientHook hook) const;  // runs on the complete gradient, before it moves on
  Variable detach() const;                      // same value, no history

  const std::shared_ptr<Node>& node() const;  // null for leaves and constants
  int output_index() const;
  struct Impl;  // autograd/variable_impl.h
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

/// Gradients of sum(outputs * seeds) with respect to `inputs` only; nothing is accumulated into leaves.
/// An input that the outputs do not depend on gives an undefined tensor.
std::vector<Tensor> grad(const std::vector<Variable>& outputs, const std::vector<Variable>& inputs,
                         const std::vector<Tensor>& seeds = {}, RetainGraph retain = RetainGraph::kNo);

/// While one lives, ops of this thread record nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};
/// The reverse, inside a NoGrad (checkpointing recomputes under it).
class EnableGrad {
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool previous_;
};
bool grad_enabled();

/// While one lives, every op's result and every gradient is searched for NaN; the first is an AutogradError that names
/// the op and the direction. Slow; for debugging.
class AnomalyMode {
 public:
  AnomalyMode();
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  bool previous_;
};

}  // namespace terrace
