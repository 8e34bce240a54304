#include "var/positions/positional_encoding.h"

#include <cmath>

#include "autograd/functions.h"
#include "tests/support.h"
#include "tests/var/golden_var.h"

namespace terrace {
namespace {

std::unique_ptr<PositionalEncoding> make(PositionalConfig config, int64_t C = 64) {
  Generator g(5);
  return make_positional_encoding(config, Pyramid({1, 2, 3, 4}), C, g);
}

TEST(PositionalEncoding, FixedTablesAreTheGoldenOnes) {
  const GoldenFile golden("positional.h5");
  const auto flat = [](const Variable& t) { return t.value().reshape({30, 64}); };
  EXPECT_NEAR_TENSOR(flat(make({.kind = PositionalKind::kSinusoid1d})->table()), golden.read("outputs/s0/fixed1d"),
                     2e-6);
  EXPECT_NEAR_TENSOR(flat(make({.kind = PositionalKind::kSinusoid2d})->table()), golden.read("outputs/s0/fixed2d"),
                     2e-6);
  const auto mixed = make({.kind = PositionalKind::kMixed});
  mixed->learned().value().copy_(golden.read("inputs/s0/learned"));
  EXPECT_NEAR_TENSOR(flat(mixed->table()), golden.read("outputs/s0/mixed"), 2e-6);
}

TEST(PositionalEncoding, ScaleAndRmsActOnFixedTables) {
  const auto plain = make({.kind = PositionalKind::kSinusoid2d});
  EXPECT_NEAR(root_mean_square(plain->fixed()), std::sqrt(0.5), 1e-5);
  EXPECT_NEAR(root_mean_square(make({.kind = PositionalKind::kSinusoid2d, .scale = 0.1})->fixed()),
              0.1 * std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(root_mean_square(make({.kind = PositionalKind::kSinusoid1d, .rms = 0.02})->fixed()), 0.02, 1e-7);
  EXPECT_NEAR(root_mean_square(make({.kind = PositionalKind::kMixed, .rms = 0.02})->fixed()), 0.02, 1e-7);
}

TEST(PositionalEncoding, SummaryNamesEveryPart) {
  EXPECT_TRUE(make({.kind = PositionalKind::kNone})->summary().empty());
  EXPECT_FALSE(make({.kind = PositionalKind::kNone})->table().defined());
  const auto learned = make({.kind = PositionalKind::kLearned})->summary();
  ASSERT_EQ(learned.size(), 1u);
  EXPECT_TRUE(learned[0].learned);
  EXPECT_NEAR(learned[0].rms, std::sqrt(1.0 / 192), 0.01 * std::sqrt(1.0 / 192) * 5);
  const auto xavier = make({.kind = PositionalKind::kLearnedXavier})->summary();
  EXPECT_NEAR(xavier[0].rms, std::sqrt(2.0 / (30 + 64)), 0.05 * std::sqrt(2.0 / 94));
  const auto mixed = make({.kind = PositionalKind::kMixed, .learned_weight = 0.4})->summary();
  ASSERT_EQ(mixed.size(), 3u);
  EXPECT_NEAR(mixed[1].rms, 0.6 * std::sqrt(0.5), 1e-5);
}

TEST(PositionalEncoding, MixedGradientIsWeighted) {
  const auto mixed = make({.kind = PositionalKind::kMixed, .learned_weight = 0.25});
  sum(mixed->table()).backward();
  EXPECT_SAME(mixed->learned().grad(), Tensor::full({1, 30, 64}, 0.25));
}

TEST(PositionalEncoding, RefusesChannelsThatDoNotFit) {
  expect_error<ConfigError>([] { make({.kind = PositionalKind::kSinusoid2d}, 30); }, "multiples of 4");
  expect_error<ConfigError>([] { make({.kind = PositionalKind::kSinusoid1d}, 31); }, "multiples of 2");
}

TEST(VarConfigJson, RoundTripsAndRefuses) {
  VarConfig c;
  c.depth = 5;
  c.embed_dim = 320;
  c.num_heads = 10;
  c.positions.kind = PositionalKind::kMixed;
  c.positions.rms = 0.125;
  EXPECT_EQ(var_config_from_text(to_text(c)), c);
  EXPECT_EQ(var_config_from_text("{}"), VarConfig());
  expect_error<ConfigError>([] { var_config_from_text("{\"depht\": 3}"); }, "unknown key 'depht'");
  expect_error<ConfigError>([] { var_config_from_text("{\"depth\": \"three\"}"); }, "depth has the wrong type");
  expect_error<ConfigError>([] { var_config_from_text("{\"depth\": 0}"); }, "depth must be positive, got 0");
  expect_error<ConfigError>([] { var_config_from_text("{\"embed_dim\": 100, \"num_heads\": 8}"); },
                            "multiple of num_heads");
  expect_error<ConfigError>([] { var_config_from_text("{\"positions\": {\"kind\": \"rope\"}}"); }, "learned-xavier");
  expect_error<ConfigError>([] { var_config_from_text("[1]"); }, "expected a JSON object");
  expect_error<ConfigError>([] { var_config_from_text("{"); }, "not JSON");
}

}  // namespace
}  // namespace terrace
