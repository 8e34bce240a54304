// AdamW over parameter groups, and gradient clipping.
//
//   AdamW optimizer(groups, {.beta1 = 0.9, .beta2 = 0.95});
//   optimizer.clipped_step(schedule.lr(it), schedule.wd(it), 2.0);   // the host waits for nothing
//   const double norm = optimizer.gradient_norm();
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/compute_copies.h"
#include "nn/module.h"
#include "tensor/kernels/adamw.h"

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
  /// The same with the gradients clipped: scaled by min(1, max_norm / (norm + 1e-6)) of the norm of all of them as one
  /// vector; a max_norm of 0 clips nothing. Where the norm is not finite parameters and moments stay as they are. Norm
  /// and factor stay on the device.
  void clipped_step(double lr, double weight_decay, double max_norm);
  /// The norm of the last clipped step, before clipping. Waits for the device.
  double gradient_norm() const;
  void zero_grad();

  /// clipped_step() in two parts, for work that is recorded and replayed (tensor/device/device_graph.h):
  /// launch_clipped() is recorded, for the gradients that are there; schedule() before each replay counts a step and
  /// sets its learning rate and weight decay.
  void launch_clipped(double max_norm);
  void schedule(double lr, double weight_decay);

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
  /// The parameters of one type that have a gradient, as kernels take them.
  template <class T>
  struct Gathered {
    std::vector<AdamWTensor<T>> tensors;
    std::vector<size_t> moments;  // whose, of moments_
    int64_t chunks = 0;
    Tensor memory;  // on the device, for the tensors

    void add(const Moments& m, size_t index, const Tensor& gradient);
    AdamWTable<T> table() const;
    void upload() const;
  };
  struct AllGathered {
    Gathered<float> f32;
    Gathered<double> f64;
  };
  /// The contiguous gradients that it points at are to be kept until everything is launched.
  AllGathered gather(std::vector<Tensor>& gradients);
  template <class T>
  void schedule_of(Gathered<T>& gathered, double lr, double weight_decay);
  void reserve_memory();
  void schedule(AllGathered& gathered, double lr, double weight_decay);
  void launch_norm(const AllGathered& gathered, double max_norm) const;
  void launch_update(const AllGathered& gathered) const;

  std::vector<ParameterGroup> groups_;
  AdamWOptions options_;
  std::vector<Moments> moments_;
  int64_t steps_ = 0;
  Device device_;
  Tensor f32_table_, f64_table_;  // AdamWTensors, on the device
  AllGathered recorded_;          // by launch_clipped()
  Tensor norm_;                   // a GradientNorm, on the device
  Tensor parts_;                  // f64, the chunks' sums of squares
};

/// Norm of all gradients taken as one vector; f64, in the order given. Parameters without a gradient count as zero.
/// Waits for each on a device.
double global_grad_norm(const std::vector<Variable>& params);
double global_grad_norm(const NamedParameters& params);

/// Scales the gradients in place by clip_coefficient() (tensor/kernels/adamw.h), where their norm exceeds max_norm.
/// Returns the norm before clipping.
double clip_grad_norm_(const std::vector<Variable>& params, double max_norm);

}  // namespace terrace
