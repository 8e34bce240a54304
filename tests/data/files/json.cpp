// JSON of users, and files of JSON that carry a checksum.
#include "data/files/json.h"

#include "tests/flipped_bits.h"

namespace terrace {
namespace {

Json record() {
  return {{"program", "sample"},
          {"files", {"a.png", "b.png"}},
          {"results", {{"loss", 0.1 + 0.2}, {"large", 1e300}, {"whole", 2.0}, {"count", 3}, {"negative", -4}}},
          {"name", "\u00e4 \"quoted\""},
          {"none", nullptr},
          {"yes", true}};
}

TEST(CheckedJson, IsWhatWasWrittenWithAChecksum) {
  for (const int indent : {2, -1}) {
    const std::string text = checked_json_text(record(), indent);
    EXPECT_EQ(text.back(), '\n');
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n') == 1, indent < 0);
    Json read = parse_json(text);
    EXPECT_EQ(std::prev(read.end()).key(), "checksum");
    EXPECT_EQ(checked_json_text(read, indent), text) << "an object that has one gets it anew";
    EXPECT_EQ(take_checksum(read), JsonCheck::kSame);
    EXPECT_EQ(json_text(read), json_text(record()));
    EXPECT_EQ(take_checksum(read), JsonCheck::kNone) << "it was taken";
  }
  Json list = Json::array();
  EXPECT_EQ(take_checksum(list), JsonCheck::kNone);
}

TEST(CheckedJson, AFlippedBitIsNoticed) {
  for (const int indent : {2, -1}) {
    const std::string text = checked_json_text(record(), indent);
    int64_t noticed = 0;
    for (size_t bit = 0; bit < text.size() * 8; ++bit) {
      Json read = parse_json_if_valid(with_flipped_bit(text, bit));
      if (read.is_discarded()) { continue; }
      const JsonCheck check = take_checksum(read);
      EXPECT_NE(check, JsonCheck::kNone) << "bit " << bit;
      if (check == JsonCheck::kSame) {
        EXPECT_EQ(json_text(read), json_text(record())) << "bit " << bit;
      } else {
        ++noticed;
      }
    }
    EXPECT_GT(noticed, 500);
  }
}

TEST(WrittenJson, IsReadOrRefusedWithItsFileAndLine) {
  EXPECT_EQ(parse_written_json(R"({"a": [1, {"a": 2}], "b": "[[["})", "c.json")["a"][1]["a"], 2);
  const auto refused = [](const std::string& text, const std::string& why) {
    expect_error<ConfigError>([&] { parse_written_json(text, "c.json"); }, why);
  };
  refused("{\"a\":\n\n1,}", "c.json: not valid JSON near line 3");
  refused("", "c.json: not valid JSON near line 1");
  refused("{\"e9\": 1,\n\"b\": -1e999}",
          "c.json: line 2: 1e999 is beyond the numbers of JSON here, whose magnitude is at most 1.8e308");
  refused("{\"note \\\" 2e400\": \"1e400\",\n\"lr\": 2e999}",
          "c.json: line 2: 2e999 is beyond the numbers of JSON here");
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
