#include "var/training/scale_statistics.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(ScaleStatistics, MeansAreOverTokens) {
  const Pyramid pyramid({1, 2});
  ScaleStatistics first(2), second(2);
  const Tensor target = Tensor::from(std::vector<int64_t>{4, 1, 2, 3, 0}, {1, 5});
  first.add(pyramid, {Tensor::from(std::vector<float>{1, 2, 3, 4, 5}, {1, 5}), target}, target);
  const Tensor wrong = Tensor::from(std::vector<int64_t>{4, 1, 0, 0, 1}, {1, 5});
  second.add(pyramid, {Tensor::from(std::vector<float>{3, 0, 0, 0, 2}, {1, 5}), wrong}, target);
  first.add(second);
  const HeldOut means = first.means();
  EXPECT_EQ(means.scale_loss, (std::vector<double>{2, 2}));
  EXPECT_EQ(means.scale_accuracy, (std::vector<double>{1, 0.625}));
  EXPECT_EQ(means.loss, 2);
  EXPECT_EQ(means.accuracy, 0.7);
}

}  // namespace
}  // namespace terrace
