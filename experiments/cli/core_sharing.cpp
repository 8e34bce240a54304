#include "experiments/cli/core_sharing.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include "experiments/cli/address_space.h"
#include "experiments/cli/program.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"
#include "tensor/device/cores.h"
#include "tensor/device/device.h"

namespace terrace {
namespace {

/// Rounds of spinning, 0.1 to 0.5 ms by processor: longer than the gaps between the ops of a step, and a small part of
/// the milliseconds for which the scheduler gives a core to another process.
constexpr const char* kSpins = "10000";
constexpr std::chrono::milliseconds kFirstInterval(100), kInterval(250);
constexpr std::chrono::seconds kPatience(2);  // with fewer threads, until that is worth a line

using Clock = std::chrono::steady_clock;

struct Sharing {
  int limit, threads;
  std::thread::id thread;
  CpuTimes begin;
  Clock::time_point next, full;  // when to count again, and when all threads computed last
  bool told = false;
};
std::optional<Sharing> sharing;

}  // namespace

void bound_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) { return; }
  const std::string path = own_executable();
  if (path.empty() || omp_get_num_places() > 0) { return; }
  setenv("GOMP_SPINCOUNT", kSpins, 1);
  execv(path.c_str(), argv);
}

namespace {

/// What limits leave of `wanted` threads.
int startable(int wanted) {
  const int fitting = threads_that_fit(wanted);
  const int started = threads_that_start(fitting);
  if (started < fitting) {
    note(cat("the system starts ", started, " of ", fitting,
             " threads (a limit of processes or of memory): computing with ", started));
  }
  return started;
}

}  // namespace

void begin_core_sharing(int threads) {
  const int cores = available_cores(), wanted = threads == 0 ? cores : std::min(threads, cores);
  if (threads > cores) {
    note(cat("--threads ", threads, ": ", cores, cores == 1 ? " core is" : " cores are", " available; computing with ",
             wanted));
  }
  const int limit = startable(wanted);
  set_threads(limit);
#pragma omp parallel num_threads(limit)
  {}  // OpenMP's runtime starts its threads now, where their number has just been tried
  const Clock::time_point now = Clock::now();
  sharing = Sharing{limit, limit, std::this_thread::get_id(), cpu_times(), now + kFirstInterval, now};
}

void share_cores() {
  if (!sharing || sharing->limit == 1 || Clock::now() < sharing->next) { return; }
  if (std::this_thread::get_id() != sharing->thread || omp_get_level() > 0) { return; }
  const CpuTimes now = cpu_times();
  const double others =
      std::max(0.0, now.others - sharing->begin.others) / std::max(now.wall - sharing->begin.wall, 1e-3);
  sharing->begin = now;
  sharing->next = Clock::now() + kInterval;
  const int threads = threads_beside(others, now.cores, sharing->limit);
  if (threads == sharing->limit) { sharing->full = Clock::now(); }
  if (Clock::now() - sharing->full > kPatience && !sharing->told) {
    char used[32];
    std::snprintf(used, sizeof used, "%.1f", others);
    note(cat("other processes use ", used, " of ", now.cores, " cores: computing with ", threads,
             threads == 1 ? " thread" : " threads", " while they do"));
    sharing->told = true;
  }
  if (threads != sharing->threads) { set_threads(threads); }
  sharing->threads = threads;
}

int thread_limit() { return sharing ? sharing->limit : threads(); }

}  // namespace terrace
