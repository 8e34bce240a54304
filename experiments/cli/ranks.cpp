#include "experiments/cli/ranks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>
#include <vector>

#include "data/files/atomic_file.h"
#include "experiments/cli/program.h"
#include "tensor/base/notes.h"
#include "tensor/base/signals_blocked.h"
#include "tensor/device/cores.h"

namespace terrace {
namespace {

/// The environment variable that makes a process a rank: "RANK SIZE SOCKET...".
constexpr const char* kRankVariable = "TERRACE_RANK";
/// The exit code of a rank that lost its connection because another rank ended.
constexpr int kPeerLeft = 75;

std::vector<std::string> own_arguments() {
  std::istringstream text(read_file("/proc/self/cmdline"));
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(text, argument, '\0');) { arguments.push_back(argument); }
  return arguments;
}

/// Rank 0 is told where the process that waits for it ends, and writes its checkpoint; the others end with rank 0.
[[noreturn]] void become_rank(int rank, int size, pid_t parent, const std::vector<int>& sockets,
                              std::vector<std::string> arguments) {
  if (rank == 0) { prctl(PR_SET_PDEATHSIG, SIGTERM); }
  if (getppid() != parent) { _exit(127); }  // it ended before this process could be told
  std::string rank_arguments = cat(rank, " ", size);
  for (const int socket : sockets) {
    fcntl(socket, F_SETFD, 0);
    rank_arguments += cat(" ", socket);
  }
  setenv(kRankVariable, rank_arguments.c_str(), 1);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) { pointers.push_back(argument.data()); }
  pointers.push_back(nullptr);
  execv(own_executable().c_str(), pointers.data());
  _exit(127);
}

/// The ranks that run, as end_with() takes them: -1 in the place of one that has ended, 0 after the last.
using Processes = std::vector<std::atomic<pid_t>>;

/// Waits until one of the ranks has ended. The first signal goes on to rank 0 (`forwarded`): by sigqueue, so that it is
/// not taken for a second one where a terminal has sent it to all.
std::pair<size_t, int> wait_for_one(Processes& ranks, bool& forwarded) {
  constexpr useconds_t kBetweenLooks = 20'000;  // a signal ends a pause, and none is missed between two looks
  while (true) {
    if (interrupted() && !forwarded && ranks[0] > 0) {
      sigqueue(ranks[0], interrupting_signal(), {});
      forwarded = true;
    }
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    const auto found = std::find(ranks.begin(), ranks.end(), ended);
    if (ended > 0 && found != ranks.end()) {
      *found = -1;
      return {static_cast<size_t>(found - ranks.begin()), status};
    }
    if (ended < 0 && errno != EINTR) {
      throw Error(cat("the ranks cannot be waited for (", std::strerror(errno), ")"));
    }
    if (ended == 0) { usleep(kBetweenLooks); }
  }
}

/// While it lives a second signal ends these processes with this one.
class EndedTogether {
 public:
  explicit EndedTogether(Processes& ranks) { end_with(ranks.data()); }
  ~EndedTogether() { end_with(nullptr); }
  EndedTogether(const EndedTogether&) = delete;
  EndedTogether& operator=(const EndedTogether&) = delete;
};

void kill_all(const Processes& ranks) {
  for (const std::atomic<pid_t>& rank : ranks) {
    if (rank > 0) { kill(rank, SIGKILL); }
  }
}

/// Returns the exit code: that of rank 0, or of the first rank that fails; either ends the others. The exit code
/// kPeerLeft decides nothing, since the rank that left gives its own.
int wait_for(Processes& ranks) {
  int result = -1;
  bool forwarded = false;
  for (size_t left = ranks.size() - 1; left > 0; --left) {
    const auto [rank, status] = wait_for_one(ranks, forwarded);
    const bool peer_left = WIFEXITED(status) && WEXITSTATUS(status) == kPeerLeft;
    if (result >= 0 || peer_left || (rank > 0 && status == 0)) { continue; }
    result = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
    if (WIFSIGNALED(status)) { std::fprintf(stderr, "rank %zu was ended by signal %d\n", rank, WTERMSIG(status)); }
    kill_all(ranks);
  }
  return result >= 0 ? result : interrupted() ? 130 : 2;
}

/// Starts a rank with each list of sockets. Signals are blocked until a rank has handlers (as_rank): between fork and
/// exec it would note one in memory that exec replaces, and after exec the default action would end it.
void start(Processes& ranks, const std::vector<std::vector<int>>& sockets) {
  const std::vector<std::string> arguments = own_arguments();
  const pid_t parent = getpid();
  const int size = static_cast<int>(sockets.size());
  const SignalsBlocked blocked;
  for (int rank = 0; rank < size; ++rank) {
    const pid_t process = fork();
    if (process == 0) { become_rank(rank, size, parent, sockets[static_cast<size_t>(rank)], arguments); }
    if (process < 0) {
      const int reason = errno;
      kill_all(ranks);
      for (std::atomic<pid_t>& other : ranks) {
        if (other > 0) { waitpid(other.exchange(-1), nullptr, 0); }
      }
      throw ConfigError(cat("--ranks ", size, ": rank ", rank, " cannot be started (", std::strerror(reason), ")"));
    }
    ranks[static_cast<size_t>(rank)] = process;
  }
}

[[noreturn]] void run_ranks(int size) {
  std::vector<std::vector<int>> sockets(static_cast<size_t>(size));
  for (int rank = 1; rank < size; ++rank) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      throw ConfigError(cat("--ranks ", size, ": no connection for rank ", rank, " (", std::strerror(errno), ")"));
    }
    sockets[0].push_back(pair[0]);
    sockets[static_cast<size_t>(rank)].push_back(pair[1]);
  }
  Processes started(static_cast<size_t>(size) + 1);
  const EndedTogether together(started);
  start(started, sockets);
  for (const auto& ends : sockets) {
    for (const int socket : ends) { close(socket); }
  }
  throw EarlyExit{wait_for(started)};
}

std::unique_ptr<HostCommunicator> connection(const std::string& rank_arguments) {
  std::istringstream text(rank_arguments);
  int rank = 0, size = 0;
  text >> rank >> size;
  std::vector<int> sockets;
  for (int socket = 0; text >> socket;) {
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    sockets.push_back(socket);
  }
  if (rank == 0) {
    print_notes_again();
  } else {
    // Rank 0 has to end its step before it writes a checkpoint, which takes the others. They end when it has.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) { signal(number, SIG_IGN); }
    if (interrupted()) { throw EarlyExit{kPeerLeft}; }  // rank 0 was asked too, before anything was computed
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) { dup2(nowhere, STDOUT_FILENO); }
    if (nowhere >= 0) { close(nowhere); }
  }
  return std::make_unique<HostCommunicator>(rank, size, sockets);
}

}  // namespace

std::unique_ptr<HostCommunicator> join_ranks(int64_t ranks) {
  if (const char* rank_arguments = std::getenv(kRankVariable)) { return connection(rank_arguments); }
  if (ranks <= 1) { return nullptr; }
  run_ranks(static_cast<int>(ranks));
}

void as_rank(const std::function<void()>& body) {
  const char* rank_arguments = std::getenv(kRankVariable);
  if (rank_arguments != nullptr) {
    unblock_signals();         // start() blocked them, and run_program has installed handlers
    leave_notes_to_another();  // the process that started this one has parsed the same options
  }
  try {
    body();
  } catch (const RankLeft&) { throw EarlyExit{kPeerLeft}; } catch (const std::exception&) {
    constexpr unsigned kSeconds = 2;  // enough for rank 0, if it meets the same error, to end this process
    if (rank_arguments != nullptr && rank_arguments[0] != '0') { sleep(kSeconds); }
    throw;
  }
}

int threads_of_rank(int threads, const Communicator* ranks) {
  if (ranks == nullptr) { return threads; }
  const int cores = available_cores(), each = std::max(1, cores / ranks->size());
  if (threads > each && ranks->rank() == 0) {
    note(cat("--threads ", threads, " in each of ", ranks->size(), " ranks: ", cores,
             cores == 1 ? " core is" : " cores are", " available; computing with ", each, " in each"));
  }
  return threads == 0 ? each : std::min(threads, each);
}

std::string device_of_rank(const std::string& device, const Communicator* ranks) {
  if (ranks == nullptr || device.rfind("cuda", 0) != 0 || device == "cuda-host") { return device; }
  if (device != "cuda") {
    throw ConfigError(
        cat("--device ", device, ": ranks take a GPU each, from cuda:0 on; with --ranks it is --device cuda"));
  }
  return cat("cuda:", ranks->rank());
}

}  // namespace terrace
