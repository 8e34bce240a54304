#include "nn/schedule.h"

#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Schedule, Golden) {
  const GoldenFile golden("optim.h5");
  const std::vector<int64_t> its = golden.read("schedule/inputs/it").to_vector<int64_t>();
  for (const std::string kind : {"lin0", "cos", "exp", "lin", "lin00", "lin0.3"}) {
    const Schedule schedule({.kind = kind,
                             .peak_lr = 0.0008,
                             .weight_decay = 0.05,
                             .weight_decay_end = 0,
                             .warmup = 50,
                             .iterations = 1000,
                             .start_factor = 0.005,
                             .end_factor = 0.01});
    const std::vector<double> lr = golden.read("schedule/outputs/lr_" + kind).to_vector<double>();
    const std::vector<double> wd = golden.read("schedule/outputs/wd_" + kind).to_vector<double>();
    for (size_t i = 0; i < its.size(); ++i) {
      EXPECT_NEAR(schedule.lr(its[i]), lr[i], 1e-15) << kind << " at " << its[i];  // f64 on both sides
      EXPECT_NEAR(schedule.wd(its[i]), wd[i], 1e-15) << kind << " at " << its[i];
    }
  }
}

TEST(Schedule, Edges) {
  const Schedule one({.kind = "cos", .peak_lr = 1, .warmup = 0, .iterations = 1});
  EXPECT_DOUBLE_EQ(one.lr(0), 0.01);
  const Schedule flat({.peak_lr = 2, .warmup = 10, .iterations = 20, .end_factor = 0.1});
  EXPECT_DOUBLE_EQ(flat.lr(10), 2);
  EXPECT_DOUBLE_EQ(flat.lr(19), 0.2);
  EXPECT_DOUBLE_EQ(flat.lr(1000), 0.2) << "beyond the end the last value holds";
  const Schedule rising({.weight_decay = 0.05, .weight_decay_end = 0.08, .iterations = 100});
  EXPECT_DOUBLE_EQ(rising.wd(99), 0.08);
  EXPECT_LT(rising.wd(10), rising.wd(50));
}

TEST(Schedule, SaysWhatIsWrong) {
  for (const std::string kind : {"linear", "lin1", "lin-0.3", "lin0.3x", "step", ""}) {
    expect_error<ConfigError>([&] { Schedule({.kind = kind, .iterations = 10}); }, "unknown kind \"" + kind + "\"");
  }
  expect_error<ConfigError>([] { Schedule({.iterations = 0}); }, "iterations >= 1");
  expect_error<ConfigError>([] { Schedule({.kind = "exp", .iterations = 10, .end_factor = 0}); }, "end factor above 0");
}

}  // namespace
}  // namespace terrace
