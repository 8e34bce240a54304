#include "autograd/ops/bincount.h"

#include <limits>

#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenBincount, Counts) {
  const GoldenCase bincount_case("bincount");
  EXPECT_SAME(bincount(bincount_case.input("x"), 20), bincount_case.output("y"));
}

TEST(Bincount, RefusesWhatIsNoIndex) {
  for (const int64_t value : {std::numeric_limits<int64_t>::max(), int64_t{1} << 40}) {
    expect_error<IndexError>([&] { bincount(Here::from(std::vector<int64_t>{value}, {1})); }, "must be below");
  }
}

TEST(Bincount, CountsAndGrows) {
  EXPECT_SAME(bincount(i64({3, 0, 3, 1}, {2, 2})), i64({1, 1, 0, 2}, {4}));
  EXPECT_SAME(bincount(i64({3, 0}, {2}), 6), i64({1, 0, 0, 1, 0, 0}, {6}));
  EXPECT_SAME(bincount(i64({}, {0}), 2), i64({0, 0}, {2}));
  EXPECT_SAME(bincount(i64({}, {0})), i64({}, {0}));
  expect_error<IndexError>([] { bincount(i64({1, -2}, {2})); }, "must not be negative, got -2");
  expect_error<DTypeError>([] { bincount(Here::zeros({2})); }, "bincount");
}

}  // namespace
}  // namespace terrace
