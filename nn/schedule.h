// Learning rate and weight decay over the iterations, as VAR trains.
#pragma once

#include <cstdint>
#include <string>

namespace terrace {

struct ScheduleOptions {
  std::string kind = "lin0";  // see Schedule
  double peak_lr = 1e-4;
  double weight_decay = 0.05;
  double weight_decay_end = 0.05;
  int64_t warmup = 0;           // iterations
  int64_t iterations = 1;       // of the whole training
  double start_factor = 0.005;  // lr / peak_lr at iteration 0
  double end_factor = 0.01;     // lr / peak_lr at the last iteration
};

/// Linear warm-up from start_factor to 1 over `warmup` iterations; then, with x the share passed of the iterations
/// after it (1 at the last one) and e = end_factor, lr / peak_lr is
///   cos       e + (1-e)(1 + cos(pi x))/2
///   lin       1 until x = 0.15, then straight to e;  lin0 the same from 0.05, lin00 from 0
///   linX      (0 < X < 1, as lin0.3) straight from 1 to m at x = X, then straight to e, with m half way between 1 and
///             what lin00 has at X: a slow start of the descent
///   exp       1 until x = 0.15, then exponentially to e.
/// Weight decay follows half a cosine from weight_decay to weight_decay_end over all iterations.
/// Source: the VAR code's lr_wd_annealing.
class Schedule {
 public:
  /// Throws ConfigError for an unknown kind or extents that do not fit.
  explicit Schedule(ScheduleOptions options);
  double lr(int64_t it) const;
  double wd(int64_t it) const;
  const ScheduleOptions& options() const { return options_; }

 private:
  double decay(double x) const;  // lr / peak_lr at the share x of the iterations after the warm-up
  ScheduleOptions options_;
};

}  // namespace terrace
