#include "tensor/device/cores.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>

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

/// The least quota of `path` below `mount` and of the groups around it, up to the mount itself.
double least_quota(const std::string& mount, std::string path) {
  double least = quota_of(mount);
  while (!path.empty() && path != "/") {
    least = std::min(least, quota_of(mount + path));
    path.resize(path.find_last_of('/'));
  }
  return least;
}

cpu_set_t affinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof(mask), &mask);
  return mask;
}

}  // namespace

double cpu_quota(const std::string& groups, const std::string& root) {
  double least = kNoQuota;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) { continue; }
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_quota(root, path));
    } else if ((',' + controllers + ',').find(",cpu,") != std::string::npos) {
      least = std::min(least, least_quota(root + "/cpu", path));
    }
  }
  return least;
}

int available_cores() {
  const cpu_set_t mask = affinity();
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), {}};
  const double quota = std::ceil(cpu_quota(groups, "/sys/fs/cgroup"));
  return std::max(1, static_cast<int>(std::min<double>(CPU_COUNT(&mask), quota)));
}

CpuTimes cpu_times() {
  const cpu_set_t mask = affinity();
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
    if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &mask)) {
      busy += user + system + interrupts + soft + stolen + (niced ? nice : 0);
    }
  }
  timespec own{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  const double now = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  const double others = busy / static_cast<double>(sysconf(_SC_CLK_TCK)) - static_cast<double>(own.tv_sec) -
                        static_cast<double>(own.tv_nsec) * 1e-9;
  return {busy > 0 ? others : 0, now, CPU_COUNT(&mask)};
}

int threads_beside(double others, int cores, int limit) {
  const double left = std::floor(cores - others + 0.5);
  return static_cast<int>(std::clamp<double>(left, 1, std::max(limit, 1)));
}

}  // namespace terrace
