// A few hundred mutated command lines, always the same: each program ends in its own words.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/experiments/programs.h"
#include "tests/reliability/command_lines.h"

namespace terrace {
namespace {

using CommandLinesOfPrograms = Programs;

TEST_F(CommandLinesOfPrograms, MutatedOnesEndInOneLineOfOurWords) {
  const char* asked = std::getenv("TERRACE_COMMAND_LINES");
  const uint64_t count = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 300, seed = 16;
  const std::string programs = program_path("sample").parent_path().string();
  const CommandLines lines(programs, folder_->path());
  std::atomic<uint64_t> next = 0;
  std::mutex guard;
  const auto work = [&] {
    for (uint64_t i = next++; i < count; i = next++) {
      const CommandLine line = lines.make(seed, i);
      const CommandOutcome outcome = run_command_line(line, programs, file("case-" + std::to_string(i)));
      const std::lock_guard lock(guard);
      EXPECT_EQ(outcome.mistake, "") << i << ": " << text_of(line) << "\nexit " << outcome.status << " after "
                                     << outcome.seconds << " s\n"
                                     << outcome.errors.substr(0, 1000);
    }
  };
  std::thread other(work);
  work();
  other.join();
}

}  // namespace
}  // namespace terrace
