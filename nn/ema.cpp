#include "nn/ema.h"

#include <algorithm>

#include "tensor/base/error.h"
#include "tensor/pointwise.h"

namespace terrace {

Ema::Ema(NamedParameters params, double decay) : params_(std::move(params)), decay_(decay) {
  if (!(decay >= 0 && decay < 1)) { throw ConfigError(cat("Ema: the decay must be in [0, 1), got ", decay)); }
  for (const auto& [name, parameter] : params_) { shadow_.push_back(parameter.value().clone()); }
}

void Ema::update() {
  const double t = static_cast<double>(updates_++), decay = std::min(decay_, (1 + t) / (10 + t));
  for (size_t i = 0; i < params_.size(); ++i) {
    scale_(shadow_[i], decay);
    add_(shadow_[i], params_[i].second.value(), 1 - decay);
  }
}

State Ema::state() const {
  State all;
  for (size_t i = 0; i < params_.size(); ++i) { all.emplace(params_[i].first, shadow_[i]); }
  return all;
}

void Ema::load_state(const State& state_in, int64_t updates) {
  copy_state("Ema::load_state", state(), state_in);
  updates_ = updates;
}

void Ema::swap() {
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor value = std::as_const(params_[i].second).value();
    params_[i].second.set_value(shadow_[i]);
    shadow_[i] = value;
  }
}

}  // namespace terrace
