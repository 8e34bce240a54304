#include "var/training/time_budget.h"

#include "tests/support.h"

namespace terrace {
namespace {

/// Runs a training whose steps take `seconds_of(step)`, by a clock of its own. Returns the steps it made.
struct Simulated {
  double now = 100;
  int64_t done = 0;
  std::vector<int64_t> plans;

  template <class F>
  void run(TimeBudget& budget, const F& seconds_of) {
    for (;;) {
      const int64_t steps = budget(done);
      plans.push_back(steps);
      if (steps <= done) { return; }
      now += seconds_of(done);
      if (++done == steps) { return; }
    }
  }
  TimeBudget budget(double seconds, TimeBudget::Steps which, int64_t steps) {
    return {seconds, which, steps, [this] { return now; }};
  }
};

TEST(TimeBudget, PlansTheStepsThatFit) {
  Simulated s;
  TimeBudget budget = s.budget(60, TimeBudget::Steps::kPlanned, 1000);
  s.run(budget, [](int64_t step) { return step == 0 ? 5 : 0.1; });
  EXPECT_NEAR(static_cast<double>(s.done), 551, 1) << "the first step is no measure of the others";
  EXPECT_NEAR(s.now - 100, 60, 0.2);
  EXPECT_EQ(s.plans.front(), 1000) << "assumed, before any was timed";
  for (size_t i = 3; i < s.plans.size(); ++i) { EXPECT_NEAR(static_cast<double>(s.plans[i]), 551, 2) << i; }
  EXPECT_NEAR(budget.seconds_per_step(), 0.1, 1e-9);
  EXPECT_FALSE(budget.is_over());
}

TEST(TimeBudget, KeepsItsPromiseOnAMachineThatBecomesBusy) {
  for (const double factor : {0.2, 5.0, 20.0}) {
    SCOPED_TRACE(factor);
    Simulated s;
    TimeBudget budget = s.budget(600, TimeBudget::Steps::kPlanned, 1000);
    s.run(budget, [&](int64_t) { return s.now - 100 < 200 ? 0.5 : 0.5 * factor; });
    EXPECT_NEAR(s.now - 100, 600, 2 * 0.5 * factor + 1e-9) << "the last step may begin in time and end after it";
    EXPECT_EQ(s.plans.back(), s.done) << "the last step knew that it was the last";
  }
}

TEST(TimeBudget, CountsPausesBetweenSteps) {
  Simulated s;
  TimeBudget budget = s.budget(100, TimeBudget::Steps::kPlanned, 1000);
  s.run(budget, [](int64_t step) { return step % 10 == 9 ? 1.1 : 0.1; });  // an evaluation every ten steps
  EXPECT_NEAR(s.now - 100, 100, 1.2);
  EXPECT_NEAR(static_cast<double>(s.done), 500, 12);
}

TEST(TimeBudget, OneStepIsTheLeast) {
  Simulated s;
  TimeBudget budget = s.budget(1, TimeBudget::Steps::kPlanned, 1000);
  s.run(budget, [](int64_t) { return 7.0; });
  EXPECT_EQ(s.done, 2) << "the step that was under way, and a last one";
}

TEST(TimeBudget, GivenStepsKeepTheirSchedule) {
  Simulated s;
  TimeBudget budget = s.budget(60, TimeBudget::Steps::kGiven, 1000);
  s.run(budget, [](int64_t) { return 0.5; });
  EXPECT_EQ(s.done, 120);
  EXPECT_TRUE(budget.is_over());
  for (size_t i = 0; i + 1 < s.plans.size(); ++i) { EXPECT_EQ(s.plans[i], 1000); }
  // Resumed, the time begins anew.
  TimeBudget second = s.budget(600, TimeBudget::Steps::kGiven, 1000);
  s.run(second, [](int64_t) { return 0.5; });
  EXPECT_EQ(s.done, 1000);
  EXPECT_FALSE(second.is_over());
}

TEST(TimeBudget, AResumedRunPlansFromWhereItIs) {
  Simulated s;
  s.done = 400;
  TimeBudget budget = s.budget(60, TimeBudget::Steps::kPlanned, 416);
  s.run(budget, [](int64_t) { return 0.1; });
  EXPECT_NEAR(static_cast<double>(s.done), 1000, 2);
}

}  // namespace
}  // namespace terrace
