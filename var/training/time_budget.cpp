#include "var/training/time_budget.h"

#include <algorithm>
#include <chrono>

namespace terrace {
namespace {

constexpr int64_t kTimedFrom = 1;     // the first step starts threads and codes: it is no measure of the others
constexpr int64_t kFirstPlan = 3;     // steps before the first plan
constexpr double kLookBack = 0.2;     // of the time so far: what a plan is based on, at least
constexpr double kLaterBy = 0.5;      // of the time so far, until the next plan ...
constexpr double kSoonerThan = 0.25;  // ... but no more than this of what is left

}  // namespace

TimeBudget::Clock TimeBudget::steady_clock() {
  return [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
}

TimeBudget::TimeBudget(double seconds, Steps which, int64_t steps, Clock clock)
    : seconds_(seconds), which_(which), steps_(steps), clock_(std::move(clock)) {}

double TimeBudget::elapsed() const { return first_ < 0 ? 0 : clock_() - start_; }

int64_t TimeBudget::operator()(int64_t done) {
  const double now = clock_();
  if (first_ < 0) {
    first_ = done;
    start_ = next_ = now;
  }
  if (now - start_ >= seconds_) {
    over_ = which_ == Steps::kGiven && done < steps_;
    return which_ == Steps::kGiven ? std::min(done, steps_) : std::min(done + 1, steps_);
  }
  if (which_ == Steps::kGiven) { return steps_; }
  if (done - first_ == kTimedFrom && marks_.empty()) { marks_.emplace_back(now, done); }
  if (done - first_ >= kFirstPlan && now >= next_) { plan(done, now); }
  return steps_;
}

void TimeBudget::plan(int64_t done, double now) {
  const double so_far = now - start_, left = seconds_ - so_far;
  auto from = marks_.rbegin();  // of the marks that lie far enough back the latest, or the first of all
  while (std::next(from) != marks_.rend() && now - from->first < kLookBack * so_far) { ++from; }
  seconds_per_step_ = (now - from->first) / static_cast<double>(done - from->second);
  const double fit = seconds_per_step_ > 0 ? left / seconds_per_step_ : 0;
  steps_ = done + std::max<int64_t>(1, static_cast<int64_t>(std::min(fit, 1e15)));
  marks_.emplace_back(now, done);
  next_ = now + std::min(kLaterBy * so_far, kSoonerThan * left);
}

}  // namespace terrace
