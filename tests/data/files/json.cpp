#include "data/files/json.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(WrittenJson, IsReadOrRefusedWithItsFileAndLine) {
  EXPECT_EQ(parse_written_json(R"({"a": [1, {"a": 2}], "b": "[[["})", "c.json")["a"][1]["a"], 2);
  const auto refused = [](const std::string& text, const std::string& why) {
    expect_error<ConfigError>([&] { parse_written_json(text, "c.json"); }, why);
  };
  refused("{\"a\":\n\n1,}", "c.json: not valid JSON near line 3");
  refused("", "c.json: not valid JSON near line 1");
  refused("{\"e9\": 1,\n\"b\": -1e999}",
          "c.json: line 2: 1e999 is beyond the numbers of JSON here, whose magnitude is at most 1.8e308");
  refused(R"({"a": {"b": 1, "b": 2}})", "c.json: key 'b' is there twice");
  refused(std::string(65, '[') + std::string(65, ']'), "c.json: nested deeper than 64 levels");
  EXPECT_TRUE(parse_written_json(std::string(64, '[') + std::string(64, ']'), "c.json").is_array());
}

TEST(Json, DeeperThanTheLimitIsNoJson) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_TRUE(parse_json_if_valid(deep).is_discarded());
  EXPECT_THROW(parse_json(deep), Json::exception);
}

}  // namespace
}  // namespace terrace
