#include "nn/init.h"

#include <algorithm>
#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

struct Moments {
  double mean = 0, std = 0, low = 0, high = 0;
};

Moments moments(const Variable& p) {
  const std::vector<double> x = p.value().to_vector<double>();
  Moments m{0, 0, x[0], x[0]};
  for (const double v : x) { m.mean += v / static_cast<double>(x.size()); }
  for (const double v : x) { m.std += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size()); }
  m.std = std::sqrt(m.std);
  m.low = *std::min_element(x.begin(), x.end());
  m.high = *std::max_element(x.begin(), x.end());
  return m;
}

constexpr int64_t kRows = 300, kColumns = 200;  // 60,000 draws:
constexpr double kSlack = 0.02;                 // 5 standard errors of a mean (1/sqrt n), and of a std
Variable weight() { return Variable(Tensor::zeros({kRows, kColumns}), Requires::kGrad); }

TEST(Init, Fans) {
  EXPECT_EQ(compute_fans({6, 5}).in, 5);
  EXPECT_EQ(compute_fans({6, 5}).out, 6);
  EXPECT_EQ(compute_fans({6, 5, 3, 2}).in, 30);
  EXPECT_EQ(compute_fans({6, 5, 3, 2}).out, 36);
  expect_error<ShapeError>([] { compute_fans({6}); }, "compute_fans");
}

TEST(Init, TruncNormalHasAbsoluteBounds) {
  Generator g(1);
  Variable p = weight();
  trunc_normal_(p, 0.02, g);  // the bounds are 100 standard deviations away: a plain normal
  EXPECT_NEAR(moments(p).std, 0.02, 0.02 * kSlack);
  EXPECT_NEAR(moments(p).mean, 0, 0.02 * kSlack);
  EXPECT_GT(moments(p).high, 0.06);
  trunc_normal_(p, 2, g);  // cut at one standard deviation: std of the truncated normal is 0.5396 of the whole
  EXPECT_GE(moments(p).low, -2);
  EXPECT_LE(moments(p).high, 2);
  EXPECT_NEAR(moments(p).std, 2 * 0.53957, 2 * kSlack);
}

TEST(Init, XavierAndKaiming) {
  Generator g(2);
  Variable p = weight();
  xavier_uniform_(p, 0.5, g);
  double bound = 0.5 * std::sqrt(6.0 / (kRows + kColumns));
  EXPECT_NEAR(moments(p).high, bound, bound * 1e-3);
  EXPECT_NEAR(moments(p).low, -bound, bound * 1e-3);
  EXPECT_NEAR(moments(p).std, bound / std::sqrt(3.0), bound * kSlack);
  xavier_normal_(p, 2, g);
  EXPECT_NEAR(moments(p).std, 2 * std::sqrt(2.0 / (kRows + kColumns)), kSlack * moments(p).std);
  kaiming_uniform_(p, 1 / std::sqrt(3.0), g);
  bound = 1 / std::sqrt(static_cast<double>(kColumns));
  EXPECT_NEAR(moments(p).high, bound, bound * 1e-3);
  normal_(p, 3, g);
  EXPECT_NEAR(moments(p).std, 3, 3 * kSlack);
  uniform_(p, 1, 2, g);
  EXPECT_NEAR(moments(p).mean, 1.5, kSlack);
  ones_(p);
  EXPECT_SAME(p, Tensor::full({kRows, kColumns}, 1));
  zeros_(p);
  EXPECT_SAME(p, Tensor::zeros({kRows, kColumns}));
}

TEST(Init, TheSameSeedGivesTheSameBits) {
  Generator a(3), b(3);
  Variable first = weight(), second = weight();
  trunc_normal_(first, 0.02, a);
  trunc_normal_(second, 0.02, b);
  EXPECT_SAME(first, second.value());
  EXPECT_EQ(a.offset, static_cast<uint64_t>(kRows * kColumns));
}

}  // namespace
}  // namespace terrace
