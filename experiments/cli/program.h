// What every main() shares: errors become one line and exit code 2, Ctrl-C becomes 130.
//
//   int main(int argc, char** argv) {
//     return terrace::run_program(argc, argv, [](int count, char** arguments) { ... });
//   }
#pragma once

#include <functional>
#include <string>

namespace terrace {

/// Ends the program at once with this code and without a message (--help, --version; a comparison that failed).
struct EarlyExit {
  int code = 0;
};

/// Runs `body` and returns the exit code: 0; 2 after an exception, printed as "PROGRAM: error: one line" on stderr;
/// 130 after Interrupted. Installs the handler of SIGINT and SIGTERM that check_interrupt() looks at. Begins by
/// bound_spinning() (core_sharing.h), which may execute the program anew.
int run_program(int argc, char** argv, const std::function<void(int argc, char** argv)>& body);

/// True after the first Ctrl-C or SIGTERM. Another one a second later or more ends the process at once. Call it, or
/// check_interrupt(), between pieces of work: it also shares the cores with other processes (core_sharing.h).
bool interrupted();

/// Throws Interrupted after Ctrl-C or SIGTERM; unfinished files are then removed on the way out.
void check_interrupt();

/// The path of the program that runs, "" where the system does not tell. Executed by this path and not by
/// /proc/self/exe, it keeps its name in lists of processes.
std::string own_executable();

/// The revision this binary was built from, as `git describe` gave it.
const char* version();

}  // namespace terrace
