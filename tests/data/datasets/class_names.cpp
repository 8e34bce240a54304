#include "data/datasets/class_names.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(ClassNames, ANameOrANumber) {
  const std::vector<std::string> names = {"apple", "bear", "0"};
  EXPECT_EQ(find_class("bear", names, 3, "--class"), 1);
  EXPECT_EQ(find_class("1", names, 3, "--class"), 1);
  EXPECT_EQ(find_class("0", names, 3, "--class"), 2) << "a name wins";
  EXPECT_EQ(find_class("7", {}, 10, "--class"), 7);
  expect_error<ConfigError>([&] { find_class("beer", names, 3, "--class"); },
                            "--class: 'beer' is neither a class name (near: bear) nor a number below 3");
  expect_error<ConfigError>([&] { find_class("3", names, 3, "--classes"); }, "nor a number below 3");
  expect_error<ConfigError>([&] { find_class("-1", {}, 3, "--class"); }, "'-1' is neither a class name nor a number");
}

}  // namespace
}  // namespace terrace
