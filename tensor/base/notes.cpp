#include "tensor/base/notes.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <set>

namespace terrace {
namespace {

std::atomic<bool> printed_by_another{false};

}  // namespace

void leave_notes_to_another() { printed_by_another = true; }
void print_notes_again() { printed_by_another = false; }

void note(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> printed;
  const std::lock_guard lock(mutex);
  if (!printed.insert(text).second || printed_by_another) { return; }
  const char* begin = isatty(fileno(stderr)) != 0 ? "\r\033[K" : "";  // a progress line may be there
  std::fprintf(stderr, "%s%s: note: %s\n", begin, program_invocation_short_name, text.c_str());
}

}  // namespace terrace
