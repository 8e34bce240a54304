// AdamW over parameter groups, and gradient clipping.
//
//   AdamW optimizer(groups, {.beta1 = 0.9, .beta2 = 0.95});
//   const double norm = global_grad_norm(parameters);
//   optimizer.step(schedule.lr(it), schedule.wd(it), clip_coefficient(norm, 2.0));   // the clipping costs no pass
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/compute_copies.h"
#include "nn/module.h"

namespace terrace {

struct ParameterGroup {
  NamedParameters params;
  double lr_scale = 1;
  double weight_decay_scale = 1;  // 0: no decay
};

/// VAR's two groups: no decay for parameters of one dimension, biases, and names that hold one of `no_decay_names`
/// (position tables, level embedding, class and start tokens, head scales).
std::vector<ParameterGroup> decay_groups(const NamedParameters& params, const std::vector<std::string>& no_decay_names);

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
};

/// Decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW:
///   g = grad * grad_scale;  p -= lr wd p;  m += (1-b1)(g - m);  v = b2 v + (1-b2) g^2;
///   p -= lr / (1-b1^t) * m / (sqrt(v / (1-b2^t)) + eps).
/// Parameters without a gradient are left alone (their moments too). t counts the steps of each parameter. f32 or f64.
class AdamW {
 public:
  explicit AdamW(std::vector<ParameterGroup> groups, AdamWOptions options = {});

  /// One fused pass over parameters, gradients and moments. lr and weight_decay are multiplied by the group's scales.
  void step(double lr, double weight_decay, double grad_scale = 1);
  void zero_grad();
  /// From now on every step stores the new values of those parameters that have a copy there too, in the same pass.
  void write_copies(const ComputeCopies& copies);

  const std::vector<ParameterGroup>& groups() const { return groups_; }
  const AdamWOptions& options() const { return options_; }
  int64_t steps() const { return steps_; }  // calls of step()

  /// "steps" (scalar i64), and for every parameter "exp_avg.NAME", "exp_avg_sq.NAME" and "step.NAME". The moments are
  /// handles, which later steps change: clone() what must last.
  State state_dict() const;
  /// Copies in. Throws ConfigError with all missing, extra and mis-shaped names at once.
  void load_state_dict(const State& state);

 private:
  struct Moments {
    std::string name;
    Variable param;
    Tensor exp_avg, exp_avg_sq;
    Tensor copy;  // bf16, undefined where none is kept
    int64_t step = 0;
    double lr_scale = 1, weight_decay_scale = 1;
  };
  template <class T>
  void step_of(double lr, double weight_decay, double grad_scale);  // the parameters of one dtype

  std::vector<ParameterGroup> groups_;
  AdamWOptions options_;
  std::vector<Moments> moments_;
  int64_t steps_ = 0;
};

/// Norm of all gradients taken as one vector; f64, in the order given. Parameters without a gradient count as zero.
double global_grad_norm(const std::vector<Variable>& params);
double global_grad_norm(const NamedParameters& params);

/// min(1, max_norm / (norm + 1e-6)); NaN for a norm of NaN.
double clip_coefficient(double norm, double max_norm);

/// Scales the gradients in place where their norm exceeds max_norm. Returns the norm before.
double clip_grad_norm_(const std::vector<Variable>& params, double max_norm);

}  // namespace terrace
