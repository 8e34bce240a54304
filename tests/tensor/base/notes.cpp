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
    print_notes_again();
    for (const char* text : {"first", "second", "third"}) { note(text); }
    std::_Exit(0);
  };
  EXPECT_EXIT(print(), testing::ExitedWithCode(0), "^[^\n]*: note: first\n[^\n]*: note: third\n$");
}

}  // namespace
}  // namespace terrace
