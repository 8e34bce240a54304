// The short form of `make torture` (docs/reliability.md): some tries of every class, the same ones each time.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "tests/reliability/torture.h"

namespace terrace {
namespace {

class Torture : public testing::TestWithParam<std::string> {
 protected:
  /// All classes at once, since they share what they harm copies of.
  static void SetUpTestSuite() {
    table_ = new TortureTable(torture({.quiet = true}));
    if (!table_->failures.empty()) { std::printf("%s", table_->markdown().c_str()); }
  }
  static void TearDownTestSuite() {
    delete table_;
    table_ = nullptr;
  }
  inline static TortureTable* table_ = nullptr;
};

TEST_P(Torture, NothingIsSilentAndNothingIsLeft) {
  int64_t tries = 0;
  for (const auto& [attack, rows] : table_->classes) {
    if (attack != GetParam()) { continue; }
    for (const auto& [subject, row] : rows) { tries += row.tries() - row.count[static_cast<int>(Outcome::kSkipped)]; }
  }
  EXPECT_GE(tries, 10);
  for (const TortureFailure& failure : table_->failures) {
    if (failure.attack == GetParam()) { ADD_FAILURE() << failure.line(1); }
  }
}

std::vector<std::string> names_of_classes() {
  std::vector<std::string> names;
  for (const AttackClass& attack : attack_classes()) { names.emplace_back(attack.name); }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Classes, Torture, testing::ValuesIn(names_of_classes()),
                         [](const auto& attack) { return attack.param; });

}  // namespace
}  // namespace terrace
