// Lists of names, and the name that was meant.
#include "tensor/base/names.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Names, JoinUpToALimit) {
  EXPECT_EQ(join_names({}), "");
  EXPECT_EQ(join_names({"a"}), "a");
  EXPECT_EQ(join_names({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(join_names({"a", "b", "c"}, ","), "a,b,c");
  EXPECT_EQ(join_names({"a", "b", "c"}, ", ", 3), "a, b, c");
  EXPECT_EQ(join_names({"a", "b", "c"}, ", ", 2), "a, b and 1 more");
}

TEST(Names, NearestName) {
  EXPECT_EQ(nearest_name("steps", {"step", "seed"}), "step");
  EXPECT_EQ(nearest_name("pe", {"patch-nums", "seed"}), "");
  EXPECT_EQ(nearest_name("patch", {"seed", "patch-nums"}), "patch-nums");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(nearest_name("class", {"class-names", "classes"}), "classes") << "the shortest that begins with it";
  EXPECT_EQ(nearest_name("step", {"stop", "steps-per-epoch"}), "steps-per-epoch") << "before one that does not";
  EXPECT_EQ(nearest_name("clases", {"class", "classes"}), "classes") << "as many edits, of the longer";
  EXPECT_EQ(nearest_name("pe", {"ch", "encodings"}), "") << "two letters, both of them others";
}

TEST(Names, NearestWithinADistance) {
  const std::vector<std::string> known = {"head.weight", "head.bias", "heads.bias"};
  EXPECT_EQ(nearest_within("head.bia", known, 1), "head.bias");
  EXPECT_EQ(nearest_within("head.bia", known, 0), "");
  EXPECT_EQ(nearest_within("headx.bias", known, 1), "head.bias") << "of two that are as near, the first";
}

TEST(Names, NearestNamesOfMany) {
  EXPECT_EQ(nearest_names({}, "a", "tensors"), "it holds no tensors");
  EXPECT_EQ(nearest_names({"xyz", "ab"}, "a", "tensors"), "nearest names: ab, xyz");
  EXPECT_EQ(nearest_names({"d", "abcd", "ac", "ab"}, "a", "tensors"), "nearest names: ab, ac, d (of 4)");
}

}  // namespace
}  // namespace terrace
