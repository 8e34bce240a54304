#include "experiments/cli/timing.h"

#include <thread>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Timing, SlowFirstCallsAndSlowMomentsDoNotCount) {
  int calls = 0;
  const double seconds = typical_seconds(60, 9, [&] {
    ++calls;
    const bool slow = calls <= 2 || calls % 3 == 0;  // as it warms up, and every third call after
    std::this_thread::sleep_for(std::chrono::milliseconds(slow ? 400 : 1));
  });
  EXPECT_EQ(calls, 2 + 9);
  EXPECT_LT(seconds, 0.3);
}

TEST(Timing, StopsWhereTheLimitIsUsed) {
  int calls = 0;
  typical_seconds(0, 1000, [&] { ++calls; });
  EXPECT_EQ(calls, 3) << "two to warm up, and one that is timed";
}

}  // namespace
}  // namespace terrace
