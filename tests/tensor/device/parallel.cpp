#include "tensor/device/parallel.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Parallel, JobsRunOnceEachOnOneThread) {
  const int before = threads();
  set_threads(2);
  std::array<std::atomic<int>, 5> runs{};
  std::array<std::atomic<int>, 5> widths{};
  each_on_one_thread(5, [&](int64_t i) {
    ++runs[static_cast<size_t>(i)];
    widths[static_cast<size_t>(i)] = threads();
  });
  for (size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i], 1);
    EXPECT_EQ(widths[i], 1) << "a job must not share its work";
  }
  EXPECT_EQ(threads(), 2) << "afterwards all is as it was";
  each_on_one_thread(0, [](int64_t) { FAIL() << "there is no job"; });
  set_threads(before);
}

TEST(Parallel, WhatAJobThrowsIsThrown) {
  expect_error<ConfigError>(
      [] {
        each_on_one_thread(4, [](int64_t i) {
          if (i == 2) { throw ConfigError("job 2 fails"); }
        });
      },
      "job 2 fails");
}

}  // namespace
}  // namespace terrace
