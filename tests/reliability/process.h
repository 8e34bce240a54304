// One run of a program under test: its folder, limits, a signal or a closed pipe at a moment, and what came of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace terrace {

/// RLIMIT_... and its value.
struct ProcessLimit {
  int resource = 0;
  uint64_t value = 0;
};

/// A signal to the process so many seconds after its start.
struct TimedSignal {
  double after = 0;
  int number = 0;
};

struct ProcessOptions {
  std::vector<std::string> environment = {};  // "NAME=VALUE", beside what the harness itself has
  std::vector<ProcessLimit> limits = {};
  std::vector<TimedSignal> signals = {};
  double close_stdout_after = -1;  // the reader of its standard output goes away; negative: it stays
  double patience = 20;            // seconds until it counts as a hang and is killed
};

struct ProcessResult {
  int exit_code = -1;      // -1: it ended by a signal
  int signal = 0;          // by which it ended, 0: none
  bool hung = false;       // killed after `patience`
  double seconds = 0;      // it took
  double reacted = 0;      // seconds from the last signal, or the closing of the pipe, to its end
  bool signalled = false;  // it lived when the first signal, or the closing, was due
  bool orphans = false;    // processes that it started lived on for a second after it
  std::string out, err;

  bool ended(int code) const { return !hung && signal == 0 && exit_code == code; }
};

/// Runs `command` (words divided by blanks, the first a name in the harness's folder of programs) with `folder` as its
/// working directory, in a process group of its own. One thread, no shell.
ProcessResult run_process(const std::string& command, const std::filesystem::path& folder,
                          const ProcessOptions& options = {});

/// The process adopts the orphans of its children, so that run_process can tell whether some are left.
void adopt_orphans();

}  // namespace terrace
