#include "data/datasets/subset.h"

#include <algorithm>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Subset, APartHasTheMixtureOfTheWhole) {
  EXPECT_EQ(part_of(4, 0), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(part_of(3, 9), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(part_of(0, 5).empty());
  const std::vector<int64_t> part = part_of(1600, 400);
  EXPECT_EQ(part, part_of(1600, 400));
  EXPECT_TRUE(std::is_sorted(part.begin(), part.end()));
  EXPECT_EQ(std::adjacent_find(part.begin(), part.end()), part.end());
  for (int64_t c = 0; c < 16; ++c) {  // 25 of each expected, of a set sorted by class and of one that cycles
    EXPECT_NEAR(std::count_if(part.begin(), part.end(), [&](int64_t row) { return row / 100 == c; }), 25, 16);
    EXPECT_NEAR(std::count_if(part.begin(), part.end(), [&](int64_t row) { return row % 16 == c; }), 25, 16);
  }
}

}  // namespace
}  // namespace terrace
