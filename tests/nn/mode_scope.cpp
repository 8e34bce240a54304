#include "nn/mode_scope.h"

#include "nn/layers.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(ModeScope, ReturnsToTheModeBeforeAfterAnExceptionToo) {
  SiluLinear module(2, 2, default_generator());
  struct Stop {};
  const auto stopped = [&](Mode mode) {
    const ModeScope scope(module, mode);
    EXPECT_EQ(module.training(), mode == Mode::kTrain);
    EXPECT_EQ(module.linear.training(), mode == Mode::kTrain);
    throw Stop();
  };
  for (const bool training : {true, false}) {
    training ? module.train() : module.eval();
    for (const Mode mode : {Mode::kTrain, Mode::kEval}) {
      EXPECT_THROW(stopped(mode), Stop);
      EXPECT_EQ(module.training(), training);
      EXPECT_EQ(module.linear.training(), training);
    }
  }
}

}  // namespace
}  // namespace terrace
