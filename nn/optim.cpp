#include "nn/optim.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/adamw.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"

namespace terrace {

std::vector<ParameterGroup> decay_groups(const NamedParameters& params,
                                         const std::vector<std::string>& no_decay_names) {
  ParameterGroup decayed, plain;
  plain.weight_decay_scale = 0;
  for (const auto& [name, parameter] : params) {
    const auto holds = [&name = name](const std::string& part) { return name.find(part) != std::string::npos; };
    const bool exempt = parameter.ndim() <= 1 || name.ends_with("bias") ||
                        std::any_of(no_decay_names.begin(), no_decay_names.end(), holds);
    (exempt ? plain : decayed).params.emplace_back(name, parameter);
  }
  return {decayed, plain};
}

AdamW::AdamW(std::vector<ParameterGroup> groups, AdamWOptions options) : groups_(std::move(groups)), options_(options) {
  const AdamWOptions& o = options_;
  if (!(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.eps >= 0)) {
    throw ConfigError(cat("AdamW: needs betas in [0, 1) and eps >= 0, got ", o.beta1, ", ", o.beta2, ", ", o.eps));
  }
  for (const ParameterGroup& group : groups_) {
    for (const auto& [name, parameter] : group.params) {
      const Tensor& value = parameter.value();
      if (value.dtype() != DType::kF32 && value.dtype() != DType::kF64) {
        throw DTypeError(cat("AdamW: ", name, " must be f32 or f64, got ", value.describe()));
      }
      if (!value.is_contiguous()) throw ShapeError(cat("AdamW: ", name, " must be contiguous, got ", value.describe()));
      for (const Moments& m : moments_) {
        if (m.name == name) {
          throw ConfigError(cat("AdamW: ", name, " is listed twice; every parameter belongs to one group"));
        }
        if (m.param.impl() == parameter.impl()) {
          throw ConfigError(cat("AdamW: ", name, " and ", m.name, " are one parameter; list tied weights once"));
        }
      }
      moments_.push_back({name, parameter, Tensor::zeros(value.shape(), value.dtype(), value.device()),
                          Tensor::zeros(value.shape(), value.dtype(), value.device()), Tensor(), 0, group.lr_scale,
                          group.weight_decay_scale});
    }
  }
}

template <class T>
void AdamW::step_of(double lr, double weight_decay, double grad_scale) {
  std::vector<AdamWTensor<T>> tensors;
  std::vector<Tensor> grads;  // keeps contiguous copies alive
  Device device;
  for (Moments& m : moments_) {
    if (m.param.dtype() != kDTypeOf<T> || !m.param.grad().defined()) continue;
    ++m.step;
    const auto t = static_cast<double>(m.step);
    const double step_lr = lr * m.lr_scale;
    grads.push_back(m.param.grad().contiguous());
    device = m.param.device();
    tensors.push_back({m.param.value().template data<T>(), grads.back().template data<T>(),
                       m.exp_avg.template data<T>(), m.exp_avg_sq.template data<T>(), data_or_null<BFloat16>(m.copy),
                       m.param.numel(), 1 - step_lr * weight_decay * m.weight_decay_scale,
                       step_lr / (1 - std::pow(options_.beta1, t)), 1 / std::sqrt(1 - std::pow(options_.beta2, t))});
    m.param.value().bump_version();
    if (m.copy.defined()) m.copy.bump_version();
  }
  if (tensors.empty()) return;
  adamw_step<T>(device, tensors.data(), static_cast<int64_t>(tensors.size()),
                {options_.beta1, options_.beta2, options_.eps, grad_scale});
}

void AdamW::step(double lr, double weight_decay, double grad_scale) {
  for (const Moments& m : moments_) {
    const Tensor& value = m.param.value();
    if (!value.is_contiguous())
      throw ShapeError(cat("AdamW: ", m.name, " is no longer contiguous: ", value.describe()));
  }
  ++steps_;
  step_of<float>(lr, weight_decay, grad_scale);
  step_of<double>(lr, weight_decay, grad_scale);
}

void AdamW::write_copies(const ComputeCopies& copies) {
  for (Moments& m : moments_) m.copy = copies.of(m.param);
}

void AdamW::zero_grad() {
  for (Moments& m : moments_) m.param.zero_grad();
}

State AdamW::state_dict() const {
  State state;
  const auto count = [](int64_t n) { return Tensor::from(std::vector<int64_t>{n}, {}); };
  state.emplace("steps", count(steps_));
  for (const Moments& m : moments_) {
    state.emplace("exp_avg." + m.name, m.exp_avg);
    state.emplace("exp_avg_sq." + m.name, m.exp_avg_sq);
    state.emplace("step." + m.name, count(m.step));
  }
  return state;
}

void AdamW::load_state_dict(const State& state) {
  State target = state_dict();
  copy_state("AdamW::load_state_dict", target, state);
  steps_ = target.at("steps").item<int64_t>();
  for (Moments& m : moments_) m.step = target.at("step." + m.name).item<int64_t>();
}

double global_grad_norm(const std::vector<Variable>& params) {
  double sum = 0;
  for (const Variable& parameter : params) {
    if (parameter.grad().defined()) sum += squared_norm(parameter.grad());
  }
  return std::sqrt(sum);
}

double global_grad_norm(const NamedParameters& params) {
  std::vector<Variable> variables;
  for (const auto& [name, parameter] : params) variables.push_back(parameter);
  return global_grad_norm(variables);
}

double clip_coefficient(double norm, double max_norm) {
  const double coefficient = max_norm / (norm + 1e-6);
  return coefficient > 1 ? 1 : coefficient;
}

double clip_grad_norm_(const std::vector<Variable>& params, double max_norm) {
  const double norm = global_grad_norm(params);
  const double coefficient = clip_coefficient(norm, max_norm);
  if (coefficient == 1) return norm;
  for (const Variable& parameter : params) {
    if (!parameter.grad().defined()) continue;
    Tensor gradient = parameter.grad();
    scale_(gradient, coefficient);
  }
  return norm;
}

}  // namespace terrace
