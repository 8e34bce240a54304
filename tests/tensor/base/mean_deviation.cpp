// Mean and standard deviation of a few values.
#include "tensor/base/mean_deviation.h"

#include <cmath>
#include <vector>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(MeanDeviation, OfTheSampleAndOfThePopulation) {
  const std::vector<double> values = {1, 2, 6};
  const double mean = mean_of(values);
  EXPECT_NEAR(mean, 3, 1e-15);
  EXPECT_NEAR(deviation_of(values, mean, 1), std::sqrt(14.0 / 2), 1e-15);
  EXPECT_NEAR(deviation_of(values, mean, 0), std::sqrt(14.0 / 3), 1e-15);
}

TEST(MeanDeviation, OfTooFewValuesIsZero) {
  EXPECT_EQ(mean_of({}), 0);
  EXPECT_EQ(deviation_of({}, 0, 0), 0);
  const std::vector<double> one = {5};
  EXPECT_EQ(mean_of(one), 5);
  EXPECT_EQ(deviation_of(one, 5, 0), 0);
  EXPECT_EQ(deviation_of(one, 5, 1), 0);
}

}  // namespace
}  // namespace terrace
