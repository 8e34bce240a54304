// Accuracy of the vectorisable float functions against double, over the whole range of float.
#include "tensor/base/math.h"

#include <bit>
#include <cmath>
#include <functional>

#include "tests/support.h"

namespace terrace {
namespace {

/// Distance in units of the last place of the exact result.
double ulps(float got, double exact) {
  const float rounded = static_cast<float>(exact);
  if (got == rounded || (std::isnan(got) && std::isnan(exact))) { return 0; }
  const double unit = std::max(std::abs(static_cast<double>(std::nextafter(rounded, INFINITY)) - rounded), 0x1p-149);
  return std::abs(got - exact) / unit;
}

/// The largest error over floats spread evenly over all bit patterns from `low` to `high`, of both signs where asked.
double worst_ulps(float (*f)(float), double (*exact)(double), float low, float high, bool both_signs = true) {
  double worst = 0;
  const uint32_t begin = std::bit_cast<uint32_t>(low), end = std::bit_cast<uint32_t>(high);
  for (uint32_t bits = begin; bits < end; bits += 997) {
    const float x = std::bit_cast<float>(bits);
    worst = std::max(worst, ulps(f(x), exact(x)));
    if (both_signs) { worst = std::max(worst, ulps(f(-x), exact(-x))); }
  }
  return worst;
}

constexpr float kSmallest = 1e-30f, kLargest = 1e30f;

TEST(Math, ExpWithinOneAndAHalfUlp) {
  EXPECT_LE(worst_ulps([](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }, kSmallest, 87.0f),
            1.5);
  EXPECT_EQ(math::exp(0.0f), 1.0f);
  EXPECT_TRUE(std::isinf(math::exp(89.0f)));
  EXPECT_EQ(math::exp(-110.0f), 0.0f);
  EXPECT_EQ(math::exp(-INFINITY), 0.0f);
  EXPECT_TRUE(std::isinf(math::exp(INFINITY)));
  EXPECT_TRUE(std::isnan(math::exp(std::nanf(""))));
}

TEST(Math, LogWithinOneAndAHalfUlp) {
  EXPECT_LE(worst_ulps([](float x) { return math::log(x); }, [](double x) { return std::log(x); }, kSmallest, kLargest,
                       false),
            1.5);
  EXPECT_EQ(math::log(1.0f), 0.0f);
  EXPECT_EQ(math::log(0.0f), -INFINITY);
  EXPECT_TRUE(std::isnan(math::log(-1.0f)));
  EXPECT_TRUE(std::isinf(math::log(INFINITY)));
}

TEST(Math, TanhAndErfWithinThreeUlp) {
  EXPECT_LE(
      worst_ulps([](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }, kSmallest, kLargest),
      3.5);
  EXPECT_LE(worst_ulps([](float x) { return math::erf(x); }, [](double x) { return std::erf(x); }, kSmallest, kLargest),
            3.5);
  EXPECT_EQ(math::tanh(100.0f), 1.0f);
  EXPECT_EQ(math::erf(-100.0f), -1.0f);
  EXPECT_TRUE(std::isnan(math::tanh(std::nanf(""))));
  EXPECT_TRUE(std::isnan(math::erf(std::nanf(""))));
}

}  // namespace
}  // namespace terrace
