// Remarks to the user that are not errors, on stderr.
#pragma once

#include <string>

namespace terrace {

/// Prints "PROGRAM: note: TEXT" on stderr, over a progress line where there is one. The same text is printed once by a
/// process. Safe to call from several threads.
void note(const std::string& text);

/// From here on note() prints nothing: another process of the same run prints the same.
void leave_notes_to_another();
/// From here on note() prints again, but not what it was given in between.
void print_notes_again();

}  // namespace terrace
