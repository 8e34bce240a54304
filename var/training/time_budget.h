// The steps of a training that is given by time.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace terrace {

/// A TrainPlan (training_loop.h) for a number of seconds, which begin with its first call.
///
/// Without a given number of steps it plans as many as fit, from the time that the last ones took, evaluations and
/// checkpoints between them included: first after a few steps, then again and again, ever more closely towards the end.
/// So the schedules reach their end when the time does, also where the machine becomes slower or faster meanwhile; once
/// the time is over, the step under way is followed by one last. With a given number of steps their schedules stand,
/// and the end of the time is a stop that a later call goes on from.
class TimeBudget {
 public:
  using Clock = std::function<double()>;  // seconds since any moment
  enum class Steps : uint8_t { kPlanned, kGiven };

  /// `steps`: given, or assumed until some have been timed.
  TimeBudget(double seconds, Steps which, int64_t steps, Clock clock = steady_clock());

  int64_t operator()(int64_t done);

  /// Whether the time was over before the given steps were done.
  bool is_over() const { return over_; }
  /// Seconds per step of the latest plan; 0 before the first.
  double seconds_per_step() const { return seconds_per_step_; }
  /// Seconds since the first call.
  double elapsed() const;
  double seconds() const { return seconds_; }

 private:
  static Clock steady_clock();
  void plan(int64_t done, double now);

  double seconds_;
  Steps which_;
  int64_t steps_;
  Clock clock_;
  double start_ = 0, next_ = 0, seconds_per_step_ = 0;
  int64_t first_ = -1;                             // steps done at the first call; negative before it
  std::vector<std::pair<double, int64_t>> marks_;  // time and steps done, at the first timed step and at every plan
  bool over_ = false;
};

}  // namespace terrace
