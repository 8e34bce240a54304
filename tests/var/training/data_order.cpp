#include "var/training/data_order.h"

#include <algorithm>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(DataOrder, ReadsEveryEpochThroughWithoutGaps) {
  DataOrder order(5, 3, 9);
  std::vector<int64_t> read;
  for (int64_t step = 0; step < 5; ++step) {
    for (const int64_t row : order.batch_rows(step)) { read.push_back(row); }
  }
  std::vector<std::vector<int64_t>> epochs;
  for (auto at = read.begin(); at != read.end(); at += 5) {
    epochs.emplace_back(at, at + 5);
    std::vector<int64_t> sorted = epochs.back();
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  }
  EXPECT_NE(epochs[0], epochs[1]);
  DataOrder resumed(5, 3, 9);
  EXPECT_EQ(resumed.batch_rows(4), (std::vector<int64_t>(read.begin() + 12, read.end())));
}

TEST(DataOrder, TakesRows) {
  const Tensor table = Tensor::from(std::vector<int64_t>{0, 1, 10, 11, 20, 21}, {3, 2});
  const std::vector<int64_t> rows = {2, 0, 2};
  EXPECT_EQ(take_rows(table, rows).to_vector<int64_t>(), (std::vector<int64_t>{20, 21, 0, 1, 20, 21}));
}

}  // namespace
}  // namespace terrace
