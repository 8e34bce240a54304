#include "autograd/variable.h"

#include "autograd/variable_impl.h"
#include "tensor/pointwise.h"

namespace terrace {
namespace {

thread_local bool gradients_on = true;
thread_local bool anomaly_on = false;

Variable::Impl& checked(const std::shared_ptr<Variable::Impl>& impl) {
  if (!impl) { throw AutogradError("the variable is undefined"); }
  return *impl;
}

}  // namespace

Variable::Variable(Tensor value, Requires requires_gradient) : impl_(std::make_shared<Impl>()) {
  impl_->value = std::move(value);
  set_requires_grad(requires_gradient);
}

const Tensor& Variable::value() const { return checked(impl_).value; }
Tensor& Variable::value() { return checked(impl_).value; }

void Variable::set_value(Tensor value) {
  Impl& impl = checked(impl_);
  if (!is_leaf()) {
    throw AutogradError(cat("set_value: only a leaf's value can be replaced, this is a result of ", impl.node->name));
  }
  check_shape(value, impl.value.shape(), "set_value", "value");
  check_dtype(value, impl.value.dtype(), "set_value", "value");
  impl.value = value.contiguous();  // optimizers update it in place
}

bool Variable::requires_grad() const { return impl_ && impl_->requires_grad; }
bool Variable::is_leaf() const { return !impl_ || !impl_->node; }

void Variable::set_requires_grad(Requires requires_gradient) {
  Impl& impl = checked(impl_);
  if (!is_leaf()) {
    throw AutogradError(cat("set_requires_grad: only for leaves, this is a result of ", impl.node->name));
  }
  const bool wanted = requires_gradient == Requires::kGrad;
  if (wanted && !is_floating(impl.value.dtype())) {
    throw DTypeError(cat("only floating tensors can require gradients, got ", impl.value.describe()));
  }
  impl.requires_grad = wanted;
}

const Tensor& Variable::grad() const { return checked(impl_).grad; }

namespace {

void check_gradient(const Variable& v, const Tensor& gradient) {
  check_shape(gradient, v.shape(), "gradient", "a variable's gradient");
  check_dtype(gradient, v.dtype(), "gradient", "a variable's gradient");
}

}  // namespace

void Variable::set_grad(Tensor gradient) {
  if (gradient.defined()) { check_gradient(*this, gradient); }
  checked(impl_).grad = std::move(gradient);
}

void Variable::accumulate_grad(Tensor gradient) {
  check_gradient(*this, gradient);
  add_gradient(checked(impl_).grad, std::move(gradient));
}

void Variable::retain_grad() const {
  Impl& impl = checked(impl_);
  if (impl.node) { impl.node->outputs[static_cast<size_t>(impl.output)].retain = true; }
}

void Variable::register_hook(GradientHook hook) const {
  Impl& impl = checked(impl_);
  if (!impl.requires_grad) { throw AutogradError("register_hook: the variable needs no gradient"); }
  auto& hooks = impl.node ? impl.node->outputs[static_cast<size_t>(impl.output)].hooks : impl.hooks;
  hooks.push_back(std::move(hook));
}

Variable Variable::detach() const { return Variable(value()); }

const std::shared_ptr<Node>& Variable::node() const { return checked(impl_).node; }
int Variable::output_index() const { return checked(impl_).output; }

void add_gradient(Tensor& sum, Tensor term) {
  if (!sum.defined()) {
    // Storage that another tensor holds too stays shared; the next addition allocates a sum of its own.
    sum = std::move(term);
  } else if (sum.sole_owner() && sum.is_contiguous()) {
    add_(sum, term);
  } else {
    sum = add(sum, term);
  }
}

NoGrad::NoGrad() : previous_(gradients_on) { gradients_on = false; }
NoGrad::~NoGrad() { gradients_on = previous_; }
EnableGrad::EnableGrad() : previous_(gradients_on) { gradients_on = true; }
EnableGrad::~EnableGrad() { gradients_on = previous_; }
bool grad_enabled() { return gradients_on; }

AnomalyMode::AnomalyMode() : previous_(anomaly_on) { anomaly_on = true; }
AnomalyMode::~AnomalyMode() { anomaly_on = previous_; }
bool anomaly_mode() { return anomaly_on; }

}  // namespace terrace
