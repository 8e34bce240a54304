#include "experiments/cli/program.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <new>
#include <string>

#include "experiments/cli/core_sharing.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "tensor/base/error.h"
#include "tensor/device/allocator.h"

namespace terrace {
namespace {

volatile std::sig_atomic_t g_signal = 0;
timespec g_first{};  // when the first signal came

/// The first signal asks for an orderly end. One that comes a second later or more is a user who no longer waits and
/// has its usual effect; one that comes at once is the same request (a terminal and `timeout` may both send it).
extern "C" void note_signal(int number) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (g_signal == 0) {
    g_first = now;
    g_signal = number;
  } else if (now.tv_sec - g_first.tv_sec > 1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

void install_handlers() {
  struct sigaction action = {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
}

int report(const char* program, const char* kind, std::string text, int code) {
  for (char& c : text) {
    if (c == '\n') { c = ' '; }
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s%s\n", program, kind, text.c_str());
  return code;
}

}  // namespace

int run_program(int argc, char** argv, const std::function<void(int, char**)>& body) {
  const char* slash = argc > 0 ? std::strrchr(argv[0], '/') : nullptr;
  const char* program = slash != nullptr ? slash + 1 : (argc > 0 ? argv[0] : "terrace");
  bound_spinning(argv);
  install_handlers();
  try {
    body(argc, argv);
    if (std::fflush(stdout) != 0) { return report(program, "error: ", "standard output cannot be written to", 2); }
    return 0;
  } catch (const EarlyExit& exit) { return exit.code; } catch (const Interrupted& e) {
    return report(program, "", e.what(), 130);
  } catch (const std::bad_alloc&) {
    const MemoryStats stats = memory_stats();
    return report(program, "error: ",
                  cat("out of memory: tensors hold ", format_bytes(static_cast<double>(stats.live)), " (",
                      format_bytes(static_cast<double>(stats.reserved)), " with the cache), the process had ",
                      format_bytes(static_cast<double>(peak_resident_bytes())),
                      " resident at most; a smaller batch or model needs less"),
                  2);
  } catch (const std::exception& e) { return report(program, "error: ", e.what(), 2); }
}

bool interrupted() {
  share_cores();
  return g_signal != 0;
}

std::string own_executable() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

void check_interrupt() {
  if (interrupted()) { throw Interrupted(g_signal == SIGTERM ? "terminated" : "interrupted"); }
}

}  // namespace terrace
