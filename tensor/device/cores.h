// The cores that a process may compute on, and how much of them other processes use: what decides how many threads pay.
//
// Threads that divide an op wait for each other at its end. On a core that another process shares, a thread is
// preempted for milliseconds while the others wait, so that two threads on two busy cores can be slower than one.
#pragma once

#include <string>

namespace terrace {

/// Cores of the process's affinity mask, or of OpenMP's places where the environment binds threads to some; at most
/// what the CPU quota of the process's control group pays for, rounded up.
int available_cores();

/// The CPU quota of a process in cores, infinite for none: the least of its control group (cgroup v1 or v2) and of the
/// groups around it. `groups` is the text of /proc/self/cgroup, `root` the folder where the hierarchies are mounted.
double cpu_quota(const std::string& groups, const std::string& root);

/// Seconds, counted from an arbitrary beginning.
struct CpuTimes {
  double others = 0;  // of the cores that this process may use, by any other
  double wall = 0;
  int cores = 0;  // that this process may use, quotas aside
};

/// Reads the counters of /proc/stat, which advance in ticks of 10 ms. Time of niced processes counts where this process
/// is niced itself; else it yields to this process and does not. Zeros where /proc cannot be read.
CpuTimes cpu_times();

/// How many threads, of 1 to `limit`, to compute with on `cores` cores of which other processes use `others`.
int threads_beside(double others, int cores, int limit);

}  // namespace terrace
