#include "tensor/base/notes.h"

#include <cstdlib>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Notes, AreLeftToAnotherProcess) {
  const auto print = [] {
    note("first");
    note("first");
    leave_notes_to_another();
    note("second");
    std::_Exit(0);
  };
  EXPECT_EXIT(print(), testing::ExitedWithCode(0), "^[^\n]*: note: first\n$");
}

}  // namespace
}  // namespace terrace
