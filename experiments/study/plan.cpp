#include "experiments/study/plan.h"

#include <algorithm>
#include <cmath>

namespace terrace {
namespace {

constexpr int64_t kEvaluations = 12, kMinEvaluations = 4;
constexpr int64_t kCurveImages = 256, kMinCurveImages = 32, kMinFinalImages = 64;
constexpr int64_t kMinSamples = 16;

/// How often `cost` fits into `seconds`, from `least` to `most`; `least` gives way to `most`.
int64_t times(double seconds, double cost, int64_t least, int64_t most) {
  const double fitting = cost > 0 ? std::floor(seconds / cost) : static_cast<double>(most);
  const auto low = static_cast<double>(std::min(least, most));
  return static_cast<int64_t>(std::clamp(fitting, low, static_cast<double>(most)));
}

/// Held-out losses: half of their time is the figure at the end, which the trainer and the study each compute.
void plan_evaluations(double seconds, double cost, int64_t held_out, RunPlan& plan, int64_t& evaluations) {
  plan.final_images = times(seconds / 2, 2 * cost, kMinFinalImages, held_out);
  const double rest = seconds - 2 * cost * static_cast<double>(plan.final_images);
  plan.curve_images = times(rest, cost * kEvaluations, kMinCurveImages, std::min(kCurveImages, plan.final_images));
  evaluations = times(rest, cost * static_cast<double>(plan.curve_images), kMinEvaluations, kEvaluations);
}

void plan_samples(double seconds, const RunCosts& costs, const RunLimits& limits, RunPlan& plan) {
  plan.sampled_classes = limits.classes;
  plan.samples = limits.samples;
  if (limits.samples_given) { return; }
  const double each = costs.sample + (limits.frechet > 0 ? costs.distance : 0);
  const int64_t count = times(seconds, each, kMinSamples, limits.classes * limits.samples);
  plan.samples = std::clamp<int64_t>(count / limits.classes, 1, limits.samples);
  plan.sampled_classes = std::min(limits.classes, count);
}

}  // namespace

TokenCounts plan_tokens(double seconds, const TokenCosts& costs, const TokenCounts& most, bool train_given,
                        bool held_out_given, bool frechet_given) {
  constexpr double kThird = 1.0 / 3;
  TokenCounts counts = most;
  if (!train_given) { counts.train = times(seconds * kThird, costs.encode, 256, most.train); }
  if (!held_out_given) {
    counts.held_out = times(seconds * kThird, costs.encode + costs.reconstruct, 64, most.held_out);
  }
  // The reference and the reconstructions.
  if (!frechet_given) { counts.frechet = times(seconds * kThird, 2 * costs.distance, 32, most.frechet); }
  return counts;
}

RunPlan plan_run(double seconds, const RunCosts& costs, const RunLimits& limits) {
  const int64_t least = limits.steps.value_or(kMinSteps);
  const double of_least = static_cast<double>(least) * costs.step / kTrainingShare;
  const double budget = limits.steps ? of_least : std::max(seconds, of_least);
  RunPlan plan;
  int64_t evaluations = 0;
  plan_evaluations(budget * kEvaluationShare, costs.evaluation, limits.held_out, plan, evaluations);
  plan_samples(budget * kSamplingShare, costs, limits, plan);
  const auto samples = static_cast<double>(plan.sampled_classes * plan.samples);
  const double measuring = costs.evaluation * static_cast<double>(2 * plan.final_images) +
                           costs.evaluation * static_cast<double>(evaluations * plan.curve_images) +
                           costs.sample * samples +
                           costs.distance * std::min(samples, static_cast<double>(limits.frechet));
  plan.steps = limits.steps.value_or(
      std::max(kMinSteps, static_cast<int64_t>(std::max(0.0, budget - measuring) / std::max(costs.step, 1e-9))));
  plan.evaluate_every = (plan.steps + evaluations - 1) / evaluations;
  plan.step_seconds = static_cast<double>(plan.steps) * costs.step;
  plan.seconds = plan.step_seconds + measuring;
  return plan;
}

double minutes_for_few_steps(double runs, double step_seconds, bool trains_tokenizer) {
  const double left = 1 - kReserve - kTokensShare - (trains_tokenizer ? kTokenizerShare : 0);
  return std::ceil(runs * kFewSteps * step_seconds / kTrainingShare / left / 60);
}

}  // namespace terrace
