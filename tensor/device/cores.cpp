#include "tensor/device/cores.h"

#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "tensor/device/control_groups.h"

namespace terrace {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

/// The quota of one group: of its file cpu.max ("200000 100000", or "max 100000"), or of version 1's pair of files.
double quota_of(const std::string& folder) {
  std::string quota, period;
  if (std::ifstream file(folder + "/cpu.max"); file) {
    file >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  const double whole = std::atof(period.c_str()), share = std::atof(quota.c_str());
  return share > 0 && whole > 0 ? share / whole : kNoQuota;  // "max", "-1", or no such file
}

/// The numbers of the cores that the process may use, of no known number where the system does not tell.
///
/// Where the environment binds OpenMP's threads to places (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), each thread's
/// affinity mask is its own place alone, and OpenMP knows them all.
std::set<int> allowed_cores() {
  std::set<int> cores;
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> numbers(static_cast<size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, numbers.data());
    cores.insert(numbers.begin(), numbers.end());
  }
  if (!cores.empty()) { return cores; }
  constexpr int kMaxCores = 1 << 16;
  for (int count = CPU_SETSIZE; count <= kMaxCores; count *= 2) {  // the call fails where the system has more
    std::vector<cpu_set_t> mask(static_cast<size_t>(count / CPU_SETSIZE));
    const size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) { continue; }
    for (int i = 0; i < count; ++i) {
      if (CPU_ISSET_S(static_cast<size_t>(i), bytes, mask.data())) { cores.insert(i); }
    }
    break;
  }
  return cores;
}

}  // namespace

double cpu_quota(const std::string& groups, const std::string& root) {
  return least_of_control_groups(groups, root, "cpu", &quota_of);
}

int available_cores() {
  const std::set<int> allowed = allowed_cores();
  const double cores = allowed.empty() ? std::thread::hardware_concurrency() : static_cast<double>(allowed.size());
  const double quota = std::ceil(cpu_quota(own_control_groups(), "/sys/fs/cgroup"));
  return std::max(1, static_cast<int>(std::min(cores, quota)));
}

CpuTimes cpu_times() {
  const std::set<int> allowed = allowed_cores();
  const bool niced = getpriority(PRIO_PROCESS, 0) > 0;
  std::ifstream file("/proc/stat");
  double busy = 0;
  for (std::string line; std::getline(file, line) && line.rfind("cpu", 0) == 0;) {
    std::istringstream fields(line.substr(3));
    int cpu = 0;
    double user = 0, nice = 0, system = 0, idle = 0, io = 0, interrupts = 0, soft = 0, stolen = 0;
    if (line[3] == ' ' || !(fields >> cpu >> user >> nice >> system >> idle >> io >> interrupts >> soft >> stolen)) {
      continue;  // the first line is the sum of all
    }
    if (allowed.count(cpu) > 0) { busy += user + system + interrupts + soft + stolen + (niced ? nice : 0); }
  }
  timespec own{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  const double now = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  const double others = busy / static_cast<double>(sysconf(_SC_CLK_TCK)) - static_cast<double>(own.tv_sec) -
                        static_cast<double>(own.tv_nsec) * 1e-9;
  return {busy > 0 ? others : 0, now, static_cast<int>(allowed.size())};
}

int threads_beside(double others, int cores, int limit) {
  const double left = std::floor(cores - others + 0.5);
  return static_cast<int>(std::clamp<double>(left, 1, std::max(limit, 1)));
}

}  // namespace terrace
