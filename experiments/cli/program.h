// What every main() shares: errors become one line and exit code 2, Ctrl-C and its like become 130.
//
//   int main(int argc, char** argv) {
//     return terrace::run_program(argc, argv, [](int count, char** arguments) { ... });
//   }
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>

namespace terrace {

/// Ends the program at once with this code and without a message (--help, --version; a comparison that failed).
struct EarlyExit {
  int code = 0;
};

/// Runs `body` and returns the exit code: 0; 2 after an exception, printed as "PROGRAM: error: one line" on stderr;
/// 130 after Interrupted. Where the reader of stdout or stderr has left and `body` came to its end nevertheless, the
/// process ends by SIGPIPE, without a word. Installs the handler that check_interrupt() looks at: of SIGINT, SIGTERM,
/// SIGHUP (each only where it is not ignored) and SIGPIPE. Gives SIGCHLD its default action. Begins by bound_spinning()
/// (core_sharing.h), which may execute the program anew.
int run_program(int argc, char** argv, const std::function<void(int argc, char** argv)>& body);

/// True after the first Ctrl-C, SIGTERM or SIGHUP, and once a write to a pipe found that its reader has left. A second
/// signal, a quarter of a second later or more, ends the process at once. Call it, or check_interrupt(), between pieces
/// of work: it also shares the cores with other processes (core_sharing.h).
bool interrupted();
/// The first of these signals, 0 before.
int interrupting_signal();

/// Throws Interrupted where interrupted(); unfinished files are then removed on the way out.
void check_interrupt();

/// Where a second signal ends this process, it kills those of this list first. The list ends with a 0; negative numbers
/// in it are passed over. It must outlive its use: null, for no list, takes it back.
void end_with(std::atomic<pid_t>* processes);

/// The path of the program that runs, "" where the system does not tell. Executed by this path and not by
/// /proc/self/exe, it keeps its name in lists of processes.
std::string own_executable();

/// The revision this binary was built from, as `git describe` gave it.
const char* version();

}  // namespace terrace
