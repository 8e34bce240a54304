#include "data/files/json_differences.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(JsonDifferences, NamesWhatDiffersAlone) {
  const Json there = {{"steps", 3000}, {"lr", 0.5}, {"kind", "a"}, {"inner", {{"x", 1}, {"y", {1, 2}}}}, {"old", 1}};
  EXPECT_EQ(json_differences(there, there), "");
  Json here = there;
  here["steps"] = 3200;
  EXPECT_EQ(json_differences(there, here), "steps = 3000, not 3200");
  here["kind"] = "b";
  here["inner"]["y"] = {1, 3};
  here.erase("old");
  here["new"] = true;
  EXPECT_EQ(json_differences(there, here),
            "steps = 3000, not 3200; kind = \"a\", not \"b\"; inner.y = [1,2], not [1,3]; old = 1, not nothing; "
            "new = nothing, not true");
}

TEST(JsonDifferences, PathsAreCalledByTheNamesThatAreGiven) {
  EXPECT_EQ(json_differences({{"decay", 1}, {"positions", {{"kind", "a"}, {"rms", 0}}}},
                             {{"decay", 2}, {"positions", {{"kind", "b"}, {"rms", 1}}}},
                             {{"positions.kind", "pe"}, {"decay", "weight-decay"}}),
            "weight-decay = 1, not 2; pe = \"a\", not \"b\"; positions.rms = 0, not 1");
}

TEST(JsonDifferences, NumbersAreComparedByValue) { EXPECT_EQ(json_differences({{"beta", 1}}, {{"beta", 1.0}}), ""); }

}  // namespace
}  // namespace terrace
