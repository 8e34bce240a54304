#include "var/positions/encodings.h"

#include <cmath>

#include "autograd/functions.h"
#include "tests/support.h"
#include "tests/var/golden_var.h"

namespace terrace {
namespace {

VarConfig config_of(PositionalConfig positions, int64_t C = 64) {
  VarConfig config;
  config.patch_nums = {1, 2, 3, 4};
  config.embed_dim = C;
  config.positions = std::move(positions);
  return config;
}

std::unique_ptr<PositionalEncoding> make(PositionalConfig positions, int64_t C = 64) {
  Generator g(5);
  return make_encoding(config_of(std::move(positions), C), g);
}

double rms_of(const PositionalEncoding& encoding, const char* name) {
  return root_mean_square(encoding.state().at(name));
}

bool is_unread(const PositionalConfig& positions, const std::string& option) {
  for (const UnreadOption& unread : unread_options(positions)) {
    if (unread.option == option) { return true; }
  }
  return false;
}

TEST(Encodings, OfTheTable) {
  for (const std::string& name : encoding_names()) {
    SCOPED_TRACE(name);
    const EncodingEntry& entry = find_encoding(name);
    const auto encoding = make({.kind = name}), again = make({.kind = name});
    for (const auto& [key, value] : encoding->state()) { EXPECT_SAME(value, again->state().at(key)); }
    const Variable table = encoding->table();
    if (table.defined()) {
      EXPECT_EQ(table.shape(), (Shape{1, 30, 64}));
      EXPECT_EQ(table.requires_grad(), !encoding->named_parameters().empty());
      EXPECT_NEAR(encoding->summary().back().rms, root_mean_square(table.value()), 1e-6);
    } else {
      EXPECT_TRUE(encoding->summary().empty());
    }
    const auto changes = [&](PositionalConfig other) {
      other.kind = name;
      return absolute_error(make(other)->table(), table) > 0;
    };
    EXPECT_EQ(entry.reads_learned_weight, table.defined() && changes({.learned_weight = 0.4}));
    EXPECT_EQ(entry.has_fixed_table, table.defined() && changes({.scale = 2}));
    EXPECT_EQ(entry.has_fixed_table, table.defined() && changes({.rms = 0.01}));
    if (entry.channel_multiple > 1) {
      expect_error<ConfigError>([&] { make({.kind = name}, 4 * entry.channel_multiple + 1); },
                                cat("a ", name, " table needs channels in multiples of ", entry.channel_multiple));
    }
  }
}

TEST(Encodings, UnknownNamesAreRefusedWithTheKnownOnes) {
  expect_error<ConfigError>([] { make({.kind = "no-such-encoding"}); },
                            "positional encoding 'no-such-encoding' is not known; there are learned, learned-xavier, ");
}

TEST(Encodings, TellsOptionsThatChangeNothing) {
  for (const std::string& name : encoding_names()) {
    SCOPED_TRACE(name);
    const EncodingEntry& entry = find_encoding(name);
    EXPECT_TRUE(unread_options({.kind = name}).empty());
    EXPECT_EQ(is_unread({.kind = name, .learned_weight = 0.4}, "pe-mix"), !entry.reads_learned_weight);
    EXPECT_EQ(is_unread({.kind = name, .scale = 2}, "pe-scale"), !entry.has_fixed_table);
    EXPECT_EQ(is_unread({.kind = name, .rms = 0.1}, "pe-rms"), !entry.has_fixed_table);
    EXPECT_TRUE(is_unread({.kind = name, .scale = 2, .rms = 0.1}, "pe-scale"));
  }
}

TEST(Encodings, FixedTablesAreTheGoldenOnes) {
  const GoldenFile golden("positional.h5");
  const auto flat = [](const Variable& t) { return t.value().reshape({30, 64}); };
  EXPECT_NEAR_TENSOR(flat(make({.kind = "sinusoid-1d"})->table()), golden.read("outputs/s0/fixed1d"), 2e-6);
  EXPECT_NEAR_TENSOR(flat(make({.kind = "sinusoid-2d"})->table()), golden.read("outputs/s0/fixed2d"), 2e-6);
  const auto mixed = make({.kind = "mixed"});
  mixed->parameter("pos_1LC").value().copy_(golden.read("inputs/s0/learned"));
  EXPECT_NEAR_TENSOR(flat(mixed->table()), golden.read("outputs/s0/mixed"), 2e-6);
}

TEST(Encodings, ScaleAndRmsActOnFixedTables) {
  const auto plain = make({.kind = "sinusoid-2d"});
  EXPECT_NEAR(rms_of(*plain, "pos_fixed_1LC"), std::sqrt(0.5), 1e-5);
  EXPECT_NEAR(rms_of(*make({.kind = "sinusoid-2d", .scale = 0.1}), "pos_fixed_1LC"), 0.1 * std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(rms_of(*make({.kind = "sinusoid-1d", .rms = 0.02}), "pos_fixed_1LC"), 0.02, 1e-7);
  EXPECT_NEAR(rms_of(*make({.kind = "mixed", .rms = 0.02}), "pos_fixed_1LC"), 0.02, 1e-7);
}

TEST(Encodings, SummaryNamesEveryPart) {
  EXPECT_TRUE(make({.kind = "none"})->summary().empty());
  EXPECT_FALSE(make({.kind = "none"})->table().defined());
  const auto learned = make({.kind = "learned"})->summary();
  ASSERT_EQ(learned.size(), 1u);
  EXPECT_TRUE(learned[0].learned);
  EXPECT_NEAR(learned[0].rms, std::sqrt(1.0 / 192), 0.01 * std::sqrt(1.0 / 192) * 5);
  const auto xavier = make({.kind = "learned-xavier"})->summary();
  EXPECT_NEAR(xavier[0].rms, std::sqrt(2.0 / (30 + 64)), 0.05 * std::sqrt(2.0 / 94));
  const auto mixed = make({.kind = "mixed", .learned_weight = 0.4})->summary();
  ASSERT_EQ(mixed.size(), 3u);
  EXPECT_NEAR(mixed[1].rms, 0.6 * std::sqrt(0.5), 1e-5);
}

TEST(Encodings, MixedGradientIsWeighted) {
  const auto mixed = make({.kind = "mixed", .learned_weight = 0.25});
  sum(mixed->table()).backward();
  EXPECT_SAME(mixed->parameter("pos_1LC").grad(), Tensor::full({1, 30, 64}, 0.25));
}

}  // namespace
}  // namespace terrace
