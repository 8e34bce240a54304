#include "var/config.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(VarConfigJson, RoundTripsAndRefuses) {
  VarConfig c;
  c.depth = 5;
  c.embed_dim = 320;
  c.num_heads = 10;
  c.positions.kind = "mixed";
  c.positions.rms = 0.125;
  EXPECT_EQ(var_config_from_text(to_text(c)), c);
  EXPECT_EQ(var_config_from_text("{}"), VarConfig());
  expect_error<ConfigError>([] { var_config_from_text("{\"depht\": 3}"); }, "unknown key 'depht'");
  expect_error<ConfigError>([] { var_config_from_text("{\"depth\": \"three\"}"); }, "depth has the wrong type");
  expect_error<ConfigError>([] { var_config_from_text("{\"depth\": 0}"); }, "depth must be positive, got 0");
  expect_error<ConfigError>([] { var_config_from_text("{\"embed_dim\": 100, \"num_heads\": 8}"); },
                            "multiple of num_heads");
  expect_error<ConfigError>([] { var_config_from_text("{\"positions\": {\"kind\": 3}}"); }, "kind has the wrong type");
  EXPECT_EQ(var_config_from_text("{\"positions\": {\"kind\": \"rope\"}}").positions.kind, "rope");
  expect_error<ConfigError>([] { var_config_from_text("[1]"); }, "expected a JSON object");
  expect_error<ConfigError>([] { var_config_from_text("{"); }, "not valid JSON");
}

}  // namespace
}  // namespace terrace
