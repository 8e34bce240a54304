// How --minutes divides the time of a study.
#include "experiments/study/plan.h"

#include "tests/support.h"

namespace terrace {
namespace {

double share(const RunPlan& plan) { return plan.step_seconds / plan.seconds; }

/// CIFAR-100 with the study's defaults, measured on one core of two that others use as well.
constexpr RunCosts kCifar{.step = 0.2, .evaluation = 0.0045, .sample = 0.02, .distance = 0.003};
constexpr RunLimits kCifarLimits{.held_out = 512, .classes = 100, .samples = 16, .frechet = 512};

TEST(StudyPlan, TrainingGetsFourFifthsOfARunOnCifar100) {
  const RunPlan plan = plan_run(43, kCifar, kCifarLimits);  // a third of what 4 minutes leave
  EXPECT_GE(plan.steps, 160);
  EXPECT_GE(share(plan), kTrainingShare);
  EXPECT_LE(plan.seconds, 43);
  EXPECT_GE(plan.sampled_classes * plan.samples, 100);
  EXPECT_GE(plan.final_images, plan.curve_images);
}

TEST(StudyPlan, TrainingGetsItsShareWhateverThingsCost) {
  for (const double step : {0.005, 0.05, 0.5, 5.0}) {
    for (const double evaluation : {0.002, 0.02, 0.06}) {
      for (const double sample : {0.01, 0.1, 1.0}) {
        for (const int64_t classes : {2, 16, 1000}) {
          for (const double steps : {200, 2000}) {  // that the time would hold
            const RunCosts costs{
                .step = step, .evaluation = evaluation * step, .sample = sample * step, .distance = 0.01 * step};
            const RunLimits limits{.held_out = 10000, .classes = classes, .samples = 16, .frechet = 512};
            const RunPlan plan = plan_run(steps * step, costs, limits);
            EXPECT_GE(share(plan), 0.66) << step << " " << evaluation << " " << sample << " " << classes;
            EXPECT_LE(plan.seconds, steps * step * 1.1);
            EXPECT_LE(plan.steps / plan.evaluate_every, 12);
            EXPECT_GE(plan.sampled_classes * plan.samples, std::min<int64_t>(16, classes * 16));
          }
        }
      }
    }
  }
}

TEST(StudyPlan, CheapThingsAreMeasuredInFull) {
  const RunPlan plan = plan_run(10000, kCifar, kCifarLimits);
  EXPECT_EQ(plan.final_images, 512);
  EXPECT_EQ(plan.curve_images, 256);
  EXPECT_EQ(plan.sampled_classes, 100);
  EXPECT_EQ(plan.samples, 16);
  EXPECT_EQ((plan.steps + plan.evaluate_every - 1) / plan.evaluate_every, 12);
}

TEST(StudyPlan, WhatIsGivenStays) {
  RunLimits limits = kCifarLimits;
  limits.samples_given = true;
  const RunPlan all = plan_run(43, kCifar, limits);
  EXPECT_EQ(all.samples * all.sampled_classes, 1600);
  limits.samples_given = false;
  limits.steps = 1000;
  const RunPlan longer = plan_run(43, kCifar, limits);
  EXPECT_EQ(longer.steps, 1000);
  EXPECT_GE(share(longer), kTrainingShare);
}

TEST(StudyPlan, WithoutTimeAFewStepsAreLeft) {
  const RunPlan plan = plan_run(-5, kCifar, kCifarLimits);
  EXPECT_EQ(plan.steps, kMinSteps);
  EXPECT_EQ(plan.sampled_classes * plan.samples, 28);  // in 13 % of what 20 steps leave
  EXPECT_LE(plan.steps / plan.evaluate_every, 4);
}

TEST(StudyPlan, ImagesThatBecomeTokens) {
  const TokenCounts most{.train = 4096, .held_out = 512, .frechet = 512};
  const TokenCounts cheap =
      plan_tokens(20, {.encode = 1e-3, .reconstruct = 1e-3, .distance = 1e-3}, most, false, false, false);
  EXPECT_EQ(cheap.train, 4096);
  EXPECT_EQ(cheap.held_out, 512);
  EXPECT_EQ(cheap.frechet, 512);
  const TokenCosts costs{.encode = 0.01, .reconstruct = 0.01, .distance = 0.05};
  const TokenCounts few = plan_tokens(20, costs, most, false, false, false);
  EXPECT_EQ(few.train, 666);
  EXPECT_EQ(few.held_out, 333);
  EXPECT_EQ(few.frechet, 66);
  const TokenCounts given = plan_tokens(20, costs, most, true, true, true);
  EXPECT_EQ(given.train, 4096);
  EXPECT_EQ(given.held_out, 512);
  EXPECT_EQ(given.frechet, 512);
  EXPECT_EQ(plan_tokens(20, costs, {.train = 100, .held_out = 20, .frechet = 0}, false, false, false).frechet, 0);
}

TEST(StudyPlan, MinutesThatWouldBeEnough) {
  // 3 runs of 100 steps of 0.2 s are a minute; 0.8 of 0.56 of the time is theirs.
  EXPECT_EQ(minutes_for_few_steps(3, 0.2, true), 3);
  EXPECT_EQ(minutes_for_few_steps(3, 0.2, false), 2);
}

}  // namespace
}  // namespace terrace
