#include "data/hdf5/reading_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "data/hdf5/handle.h"
#include "data/hdf5/message.h"
#include "data/hdf5/remote_server.h"
#include "tensor/base/error.h"
#include "tensor/base/signals_blocked.h"
#include "tensor/device/interruption.h"

namespace terrace::hdf5 {
namespace {

/// The process limits its own processor time. One that waits for so long for something other than a disk or its parent
/// waits for ever.
constexpr int kMaxSecondsAsleep = 120;

constexpr size_t kSharedBytes = 2 * kHalfBytes;

/// Whether the process waits for something other than a disk.
bool is_asleep(pid_t process) {
  std::FILE* file = std::fopen(cat("/proc/", process, "/stat").c_str(), "re");
  if (file == nullptr) { return false; }
  char state = '?';
  const bool known = std::fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
  std::fclose(file);
  return known && state == 'S';
}

}  // namespace

ReadingProcess::ReadingProcess(const std::string& path) : owner_(getpid()) {
  const auto fail = [&](int reason) {
    throw IoError(cat("cannot read ", path, ": no process can be started that reads it (", std::strerror(reason), ")"));
  };
  void* memory = mmap(nullptr, kSharedBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) { fail(errno); }
  int sockets[2] = {-1, -1};
  int reason = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0) {
    const Lock lock;  // no other thread is within the library
    const SignalsBlocked blocked;
    process_ = fork();
    if (process_ == 0) { serve_reads(path, sockets[1], static_cast<char*>(memory)); }
    reason = errno;
    close(sockets[1]);
  } else {
    reason = errno;
  }
  if (process_ < 0) {
    munmap(memory, kSharedBytes);
    if (sockets[0] >= 0) { close(sockets[0]); }
    fail(reason);
  }
  socket_ = sockets[0];
  shared_ = static_cast<char*>(memory);
}

ReadingProcess::~ReadingProcess() {
  if (process_ > 0 && is_own()) {
    kill(process_, SIGKILL);
    ended_by();
  }
  close(socket_);
  munmap(shared_, kSharedBytes);
}

bool ReadingProcess::is_own() const { return owner_ == getpid(); }

ReadingProcess::Event ReadingProcess::wait() {
  constexpr int kMilliseconds = 1000;
  pollfd end{socket_, POLLIN, 0};
  for (int seconds = 0; seconds < kMaxSecondsAsleep;) {
    interruption_point();
    const int ready = poll(&end, 1, kMilliseconds);
    if (ready > 0) { return Event::kBytes; }
    if (ready < 0) { continue; }  // a signal of this process
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(process_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0) {
      return Event::kEnd;
    }
    seconds = is_asleep(process_) ? seconds + 1 : 0;
  }
  return Event::kStuck;
}

int ReadingProcess::ended_by() {
  int status = 0;
  pid_t waited = 0;
  while ((waited = waitpid(process_, &status, 0)) < 0 && errno == EINTR) {}
  process_ = -1;
  return waited > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace terrace::hdf5
