#include "tensor/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support.h"

namespace terrace {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers that the authors of Philox publish with their implementation (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, ADrawDependsOnItsPlaceAlone) {
  Generator whole(7, 3), parts(7, 3);
  const std::vector<float> all = randn({100}, whole).to_vector<float>();
  std::vector<float> pieces;
  for (int64_t n : {1, 2, 30, 67}) {
    const std::vector<float> piece = randn({n}, parts).to_vector<float>();
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pieces, all);
  EXPECT_EQ(whole.offset, 100u);
  EXPECT_EQ(parts.offset, 100u);

  Generator one(7, 3), many(7, 3);
  const std::vector<double> uniform = rand({9}, many, DType::kF64).to_vector<double>();
  for (double value : uniform) { EXPECT_EQ(one.next_uniform(), value); }
}

TEST(Random, ThreadsDoNotMatter) {
  const int before = threads();
  Generator a(1), b(1);
  set_threads(1);
  const Tensor x = randn({100001}, a);
  set_threads(2);
  const Tensor y = randn({100001}, b);
  set_threads(before);
  EXPECT_SAME(x, y);
}

TEST(Random, SeedsAndStreamsDiffer) {
  Generator a(1, 0), b(2, 0), c(1, 1);
  const std::vector<float> x = rand({64}, a).to_vector<float>();
  EXPECT_NE(x, rand({64}, b).to_vector<float>());
  EXPECT_NE(x, rand({64}, c).to_vector<float>());
}

struct Moments {
  double mean = 0, std = 0, low = 0, high = 0;
};
Moments moments(const Tensor& t) {
  const std::vector<double> x = t.to_vector<double>();
  const double n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (double v : x) { square += (v - mean) * (v - mean); }
  return {mean, std::sqrt(square / n), *std::min_element(x.begin(), x.end()), *std::max_element(x.begin(), x.end())};
}

TEST(Random, UniformFillsItsRange) {
  Generator g(5);
  Tensor x = Tensor::empty({200000});
  uniform_(x, -1, 3, g);
  const Moments m = moments(x);
  EXPECT_GE(m.low, -1);
  EXPECT_LT(m.high, 3);
  EXPECT_NEAR(m.mean, 1, 0.02);
  EXPECT_NEAR(m.std, 4 / std::sqrt(12.0), 0.02);
}

TEST(Random, NormalHasItsMoments) {
  Generator g(6);
  Tensor x = Tensor::empty({200000});
  normal_(x, 2, 0.5, g);
  const Moments m = moments(x);
  EXPECT_NEAR(m.mean, 2, 0.005);
  EXPECT_NEAR(m.std, 0.5, 0.005);
  EXPECT_GT(m.high, 3.8) << "tails are there";
  EXPECT_TRUE(std::isfinite(m.low) && std::isfinite(m.high));
}

TEST(Random, TruncatedNormalStaysInside) {
  Generator g(8);
  Tensor x = Tensor::empty({100000});
  trunc_normal_(x, 0, 1, -2, 2, g);
  const Moments m = moments(x);
  EXPECT_GE(m.low, -2);
  EXPECT_LE(m.high, 2);
  EXPECT_NEAR(m.mean, 0, 0.01);
  EXPECT_NEAR(m.std, 0.87962566, 0.01) << "the standard deviation of a normal cut at two";
}

TEST(Random, IntegersAreUniform) {
  Generator g(9);
  std::vector<int64_t> counts(10);
  for (int64_t value : randint(10, {50000}, g).to_vector<int64_t>()) {
    ASSERT_TRUE(value >= 0 && value < 10);
    ++counts[static_cast<size_t>(value)];
  }
  double chi_squared = 0;
  for (int64_t count : counts) { chi_squared += std::pow(static_cast<double>(count) - 5000, 2) / 5000; }
  EXPECT_LT(chi_squared, 27.9) << "99.9 % of chi-squared with 9 degrees of freedom";
}

TEST(Random, BoundsBeyond32Bits) {
  const auto words = [](uint64_t offset) {  // the draws at offset and offset + 1 as one 64-bit word
    Generator g(3);
    g.offset = offset;
    const uint64_t high = g.next_u32();
    return high << 32 | g.next_u32();
  };
  Generator g(3);
  const int64_t largest = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(g.next_below(int64_t{1} << 33), static_cast<int64_t>(words(0) >> 31));
  EXPECT_EQ(g.next_below(int64_t{1} << 62), static_cast<int64_t>(words(2) >> 2));
  const long double product = static_cast<long double>(words(4)) * static_cast<long double>(largest);
  EXPECT_NEAR(static_cast<double>(g.next_below(largest)), static_cast<double>(product * 0x1p-64L), 0x1p11);
  EXPECT_EQ(g.offset, 6u) << "two draws each";
  EXPECT_EQ(g.next_below(int64_t{1} << 32), static_cast<int64_t>(words(6) >> 32)) << "one draw still does";
  EXPECT_EQ(g.offset, 7u);

  const int64_t bound = 3LL << 40;
  int64_t upper_half = 0;
  for (int64_t value : randint(bound, {2000}, g).to_vector<int64_t>()) {
    ASSERT_TRUE(value >= 0 && value < bound);
    upper_half += value >= bound / 2;
  }
  EXPECT_NEAR(static_cast<double>(upper_half), 1000, 110) << "five standard deviations";
  expect_error<IndexError>([&] { randint(0, {2}, g); }, "randint: the bound must be positive, got 0");
}

TEST(Random, UniformNeverReachesItsUpperEnd) {
  const auto largest = [](double low, double high, DType dtype) {
    Generator g(5);
    Tensor x = Tensor::empty({1 << 17}, dtype);
    uniform_(x, low, high, g);
    const std::vector<double> values = x.to_vector<double>();
    return *std::max_element(values.begin(), values.end());
  };
  // The largest bf16 below each end; without care one draw in 512 would round up to the end itself.
  EXPECT_EQ(largest(0, 1, DType::kBF16), 1 - 0x1p-8);
  EXPECT_EQ(largest(-1, 3, DType::kBF16), 3 - 0x1p-6);
  EXPECT_EQ(largest(-2, -1, DType::kBF16), -1 - 0x1p-7);
  EXPECT_LT(largest(-1, 0, DType::kBF16), 0);
  // In f32 the spacing at 2^24 is 2 on the way up: half of [2^24, 2^24 + 2) rounds to its end.
  EXPECT_EQ(largest(0x1p24, 0x1p24 + 2, DType::kF32), 0x1p24);
  EXPECT_LT(largest(0.1, 0.3, DType::kF32), 0.3) << "an end that f32 does not hold";
  const double next = std::nextafter(1.0, 2.0);
  EXPECT_EQ(largest(1, next, DType::kF64), 1);
  EXPECT_EQ(largest(2, 2, DType::kF32), 2) << "an empty range gives its lower end";
}

TEST(Random, PermutationsArePermutations) {
  for (int64_t n : {0, 1, 2, 7, 129}) {
    std::vector<int64_t> order = random_permutation(n, Generator(3));
    EXPECT_EQ(order, random_permutation(n, Generator(3)));
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < n; ++i) { EXPECT_EQ(order[static_cast<size_t>(i)], i); }
  }
  EXPECT_NE(random_permutation(129, Generator(3)), random_permutation(129, Generator(4)));
}

TEST(Random, ViewsAndOtherTypesAreFilledAlike) {
  Generator a(4), b(4), c(4);
  Tensor x = Tensor::zeros({6, 5});
  Tensor column = x.slice(1, 1, 3);
  normal_(column, 0, 1, a);
  EXPECT_SAME(column.contiguous(), randn({6, 2}, b));
  EXPECT_EQ(x.select(1, 0).to_vector<float>(), std::vector<float>(6, 0));
  EXPECT_CLOSE(randn({12}, c, DType::kBF16).to(DType::kF32).view({6, 2}), column.contiguous(), 5e-3);
}

}  // namespace
}  // namespace terrace
