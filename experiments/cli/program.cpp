#include "experiments/cli/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "experiments/cli/core_sharing.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "tensor/base/error.h"
#include "tensor/device/allocator.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

volatile std::sig_atomic_t g_signal = 0;
timespec g_first{};                              // when the first signal came
std::atomic<std::atomic<pid_t>*> g_processes{};  // of end_with(): a list that a 0 ends
constexpr int64_t kSameRequest = 250'000'000;    // nanoseconds

int64_t nanoseconds_since(const timespec& before) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - before.tv_sec) * 1'000'000'000 + now.tv_nsec - before.tv_nsec;
}

/// The first signal asks for an orderly end, the second one ends the process by its default action, whatever the
/// threads are doing. What comes within a quarter of a second is the first request once more, quicker than a user
/// decides: timeout(1) sends its signal to the process and to its group, a terminal that is closed sends SIGHUP and
/// lets the shell send it, a service manager sends SIGHUP behind SIGTERM. So is what the process that started this one
/// sends on, by sigqueue, however late. SIGPIPE, which comes with every write to a pipe without a reader, is no request
/// of a user's: the next signal is the first.
extern "C" void note_signal(int number, siginfo_t* info, void* /*context*/) {
  if (g_signal == 0 || (g_signal == SIGPIPE && number != SIGPIPE)) {
    clock_gettime(CLOCK_MONOTONIC, &g_first);
    g_signal = number;
    return;
  }
  if (number == SIGPIPE || info->si_code == SI_QUEUE || nanoseconds_since(g_first) < kSameRequest) { return; }
  if (std::atomic<pid_t>* process = g_processes) {
    for (; *process != 0; ++process) {
      if (*process > 0) { kill(*process, SIGKILL); }
    }
  }
  std::signal(number, SIG_DFL);
  std::raise(number);
}

/// A signal that is ignored stays so: SIGHUP under nohup, SIGINT of a shell's background jobs. Not SIGPIPE, which some
/// parents leave ignored without a purpose.
void note_signals(int flags) {
  struct sigaction action = {};
  action.sa_sigaction = note_signal;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (number == SIGPIPE || before.sa_handler != SIG_IGN) { sigaction(number, &action, nullptr); }
  }
}

void install_handlers() {
  note_signals(0);
  std::signal(SIGXFSZ, SIG_IGN);  // beyond `ulimit -f` writing fails, as on a full disk
  std::signal(SIGCHLD, SIG_DFL);  // where it is ignored, as some parents leave it, waitpid finds no process
}

/// Writes what is buffered for stdout, and returns whether all that was printed has been written. A write that a signal
/// interrupts fails, and the C library then drops its buffer: here the kernel continues it behind the handler.
bool flush_output() {
  note_signals(SA_RESTART);
  return std::fflush(stdout) == 0 && std::cout.good() && std::ferror(stdout) == 0;
}

/// Opens what is closed of stdin, stdout and stderr, against their direction: a file that is opened later must not get
/// the number of one of them and then what is printed, and printing still fails.
void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) { continue; }
    open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest number that is free
  }
}

int report(const char* program, const char* kind, std::string text, int code) {
  for (char& c : text) {
    if (c == '\n') { c = ' '; }
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s%s\n", program, kind, text.c_str());
  return code;
}

/// Its reader has left, as `head` does: the work is done, and the program ends without a word, as others do.
void end_by_closed_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
}

}  // namespace

int run_program(int argc, char** argv, const std::function<void(int, char**)>& body) {
  const char* slash = argc > 0 ? std::strrchr(argv[0], '/') : nullptr;
  const char* program = slash != nullptr ? slash + 1 : (argc > 0 ? argv[0] : "terrace");
  open_standard_descriptors();
  bound_spinning(argv);
  install_handlers();
  set_interruption_check([] {
    if (g_signal != 0) { check_interrupt(); }
  });
  try {
    body(argc, argv);
    const bool printed = flush_output();
    if (g_signal == SIGPIPE) { end_by_closed_pipe(); }
    if (!printed) { return report(program, "error: ", "standard output cannot be written to", 2); }
    return 0;
  } catch (const EarlyExit& exit) {
    if (std::fflush(stdout) == 0 && std::cout.good() && std::ferror(stdout) == 0) { return exit.code; }
    if (g_signal == SIGPIPE) { end_by_closed_pipe(); }
    return report(program, "error: ", "standard output cannot be written to", 2);
  } catch (const Interrupted& e) { return report(program, "", e.what(), 130); } catch (const std::bad_alloc&) {
    const MemoryStats stats = memory_stats();
    return report(program, "error: ",
                  cat("out of memory: tensors hold ", format_bytes(static_cast<double>(stats.live)), " (",
                      format_bytes(static_cast<double>(stats.reserved)), " with the cache), the process had ",
                      format_bytes(static_cast<double>(peak_resident_bytes())),
                      " resident at most; a smaller batch or model needs less"),
                  2);
  } catch (const std::filesystem::filesystem_error& e) {
    return report(program, "error: ", cat(e.path1().string(), ": ", e.code().message()), 2);
  } catch (const std::length_error&) {
    return report(program, "error: ", "out of memory: a list would have more elements than memory can hold", 2);
  } catch (const std::system_error& e) {
    return report(program, "error: ", cat("the system refuses: ", e.code().message()), 2);
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

int interrupting_signal() { return g_signal; }

void check_interrupt() {
  if (!interrupted()) { return; }
  switch (g_signal) {
    case SIGTERM:
      throw Interrupted("terminated");
    case SIGHUP:
      throw Interrupted("the terminal was closed");
    case SIGPIPE:
      throw Interrupted("what is printed has no reader any more");
    default:
      throw Interrupted("interrupted");
  }
}

void end_with(std::atomic<pid_t>* processes) { g_processes = processes; }

}  // namespace terrace
