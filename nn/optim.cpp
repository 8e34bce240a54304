#include "nn/optim.h"

#include <algorithm>
#include <cmath>

#include "tensor/device/device_memory.h"
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
      if (!value.is_contiguous()) {
        throw ShapeError(cat("AdamW: ", name, " must be contiguous, got ", value.describe()));
      }
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
void AdamW::Gathered<T>::add(const Moments& m, size_t index, const Tensor& gradient) {
  const Tensor& value = m.param.value();
  tensors.push_back({value.data<T>(), gradient.data<T>(), m.exp_avg.data<T>(), m.exp_avg_sq.data<T>(),
                     data_or_null<BFloat16>(m.copy), value.numel(), chunks, 1, 0, 0});
  moments.push_back(index);
  chunks += (value.numel() + kAdamWChunk - 1) / kAdamWChunk;
}

template <class T>
AdamWTable<T> AdamW::Gathered<T>::table() const {
  return {static_cast<const AdamWTensor<T>*>(memory.raw_data()), static_cast<int64_t>(tensors.size()), chunks};
}

template <class T>
void AdamW::Gathered<T>::upload() const {
  if (tensors.empty()) { return; }
  device_memory(memory.device()).to_device(memory.raw_data(), tensors.data(), tensors.size() * sizeof(AdamWTensor<T>));
}

AdamW::AllGathered AdamW::gather(std::vector<Tensor>& gradients) {
  reserve_memory();
  AllGathered all;
  all.f32.memory = f32_table_;
  all.f64.memory = f64_table_;
  for (size_t i = 0; i < moments_.size(); ++i) {
    const Moments& m = moments_[i];
    const Tensor& value = m.param.value();
    if (!value.is_contiguous()) {
      throw ShapeError(cat("AdamW: ", m.name, " is no longer contiguous: ", value.describe()));
    }
    if (!m.param.grad().defined()) { continue; }
    gradients.push_back(m.param.grad().contiguous());
    if (value.dtype() == DType::kF32) {
      all.f32.add(m, i, gradients.back());
    } else {
      all.f64.add(m, i, gradients.back());
    }
  }
  return all;
}

/// Allocated once, of the size that all parameters need, so that recorded work finds it at the same address.
void AdamW::reserve_memory() {
  const Device device = moments_.empty() ? kCpu : moments_.front().param.device();
  if (norm_.defined() && device_ == device) { return; }
  device_ = device;
  const auto bytes = [&](size_t count) { return Tensor::empty({static_cast<int64_t>(count)}, DType::kU8, device); };
  int64_t chunks = 0;
  for (const Moments& m : moments_) { chunks += (m.param.numel() + kAdamWChunk - 1) / kAdamWChunk; }
  f32_table_ = bytes(moments_.size() * sizeof(AdamWTensor<float>));
  f64_table_ = bytes(moments_.size() * sizeof(AdamWTensor<double>));
  norm_ = bytes(sizeof(GradientNorm));
  parts_ = Tensor::empty({chunks}, DType::kF64, device);
}

template <class T>
void AdamW::schedule_of(Gathered<T>& gathered, double lr, double weight_decay) {
  for (size_t i = 0; i < gathered.tensors.size(); ++i) {
    Moments& m = moments_[gathered.moments[i]];
    AdamWTensor<T>& entry = gathered.tensors[i];
    const auto t = static_cast<double>(++m.step);
    const double step_lr = lr * m.lr_scale;
    entry.keep = 1 - step_lr * weight_decay * m.weight_decay_scale;
    entry.step_size = step_lr / (1 - std::pow(options_.beta1, t));
    entry.inv_root = 1 / std::sqrt(1 - std::pow(options_.beta2, t));
    m.param.value().bump_version();
    if (m.copy.defined()) { m.copy.bump_version(); }
  }
  gathered.upload();
}

void AdamW::schedule(AllGathered& gathered, double lr, double weight_decay) {
  ++steps_;
  schedule_of(gathered.f32, lr, weight_decay);
  schedule_of(gathered.f64, lr, weight_decay);
}

void AdamW::launch_norm(const AllGathered& gathered, double max_norm) const {
  const auto& [f32, f64] = gathered;
  auto* parts = parts_.data<double>();
  if (f32.chunks > 0) { gradient_squares<float>(device_, f32.table(), parts); }
  if (f64.chunks > 0) { gradient_squares<double>(device_, f64.table(), parts + f32.chunks); }
  terrace::gradient_norm(device_, parts, f32.chunks + f64.chunks, max_norm,
                         static_cast<GradientNorm*>(norm_.raw_data()));
}

void AdamW::launch_update(const AllGathered& gathered) const {
  const AdamWConstants constants{options_.beta1, options_.beta2, options_.eps};
  const auto* norm = static_cast<const GradientNorm*>(norm_.raw_data());
  if (gathered.f32.chunks > 0) { adamw_step<float>(device_, gathered.f32.table(), constants, norm); }
  if (gathered.f64.chunks > 0) { adamw_step<double>(device_, gathered.f64.table(), constants, norm); }
}

void AdamW::step(double lr, double weight_decay, double grad_scale) {
  std::vector<Tensor> gradients;
  AllGathered gathered = gather(gradients);
  schedule(gathered, lr, weight_decay);
  const GradientNorm given{0, grad_scale};
  device_memory(device_).to_device(norm_.raw_data(), &given, sizeof given);
  launch_update(gathered);
}

void AdamW::clipped_step(double lr, double weight_decay, double max_norm) {
  std::vector<Tensor> gradients;
  AllGathered gathered = gather(gradients);
  schedule(gathered, lr, weight_decay);
  launch_norm(gathered, max_norm);
  launch_update(gathered);
}

void AdamW::launch_clipped(double max_norm) {
  std::vector<Tensor> gradients;
  recorded_ = gather(gradients);
  launch_norm(recorded_, max_norm);
  launch_update(recorded_);
}

void AdamW::schedule(double lr, double weight_decay) { schedule(recorded_, lr, weight_decay); }

double AdamW::gradient_norm() const {
  GradientNorm found{0, 1};
  if (norm_.defined()) { device_memory(device_).to_host(&found, norm_.raw_data(), sizeof found); }
  return found.norm;
}

void AdamW::write_copies(const ComputeCopies& copies) {
  for (Moments& m : moments_) { m.copy = copies.of(m.param); }
}

void AdamW::zero_grad() {
  for (Moments& m : moments_) { m.param.zero_grad(); }
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
  for (Moments& m : moments_) { m.step = target.at("step." + m.name).item<int64_t>(); }
}

double global_grad_norm(const std::vector<Variable>& params) {
  double sum = 0;
  for (const Variable& parameter : params) {
    if (parameter.grad().defined()) { sum += squared_norm(parameter.grad()); }
  }
  return std::sqrt(sum);
}

double global_grad_norm(const NamedParameters& params) {
  std::vector<Variable> variables;
  for (const auto& [name, parameter] : params) { variables.push_back(parameter); }
  return global_grad_norm(variables);
}

double clip_grad_norm_(const std::vector<Variable>& params, double max_norm) {
  const double norm = global_grad_norm(params);
  const double coefficient = clip_coefficient(norm, max_norm);
  if (coefficient == 1) { return norm; }
  for (const Variable& parameter : params) {
    if (!parameter.grad().defined()) { continue; }
    Tensor gradient = parameter.grad();
    scale_(gradient, coefficient);
  }
  return norm;
}

}  // namespace terrace
