#include "data/datasets/prefetcher.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Prefetcher, GivesErrorsInTheirTurn) {
  for (const int workers : {0, 1, 3}) {
    Prefetcher<int64_t> items(
        [](int64_t i) {
          if (i == 5) { throw IoError("item 5 is bad"); }
          return i * i;
        },
        0, workers, 4);
    for (int64_t i = 0; i < 5; ++i) { EXPECT_EQ(items.next(), i * i); }
    expect_error<IoError>([&] { items.next(); }, "item 5 is bad");
    expect_error<IoError>([&] { items.next(); }, "item 5 is bad");
  }
}

TEST(Prefetcher, StaysWithinItsBoundAndStopsAtOnce) {
  std::atomic<int64_t> made{0};
  {
    Prefetcher<int64_t> items([&](int64_t i) { return ++made, i; }, 10, 3, 4);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(made, 4);
    EXPECT_EQ(items.next(), 10);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(made, 5);
  }
  EXPECT_EQ(made, 5);
  Prefetcher<int64_t> few([](int64_t i) { return i; }, 0, 2, 4, 2);
  few.next();
  few.next();
  expect_error<IndexError>([&] { few.next(); }, "nothing is left");
}

}  // namespace
}  // namespace terrace
