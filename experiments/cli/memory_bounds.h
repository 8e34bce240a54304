// The memory that a program can still have, and what options ask for.
#pragma once

#include <string>

namespace terrace {

/// Bytes that this process can still take: the least of what the system has free (MemAvailable and swap), what the
/// limits of its control group and of the groups around it leave (cgroup v1 and v2), and what the process's limits of
/// address space (ulimit -v) and of data (ulimit -d) leave. Infinite where the system tells nothing.
double available_memory();

/// What the control groups of a process leave, as cpu_quota() (tensor/device/cores.h) finds them: the least of limit
/// minus use, where use is without the cache of files, which the system drops where memory is needed. Infinite for no
/// limit.
double memory_left_in_groups(const std::string& groups, const std::string& root);

/// "3.1 TB", "23 GB", "512 MB": of powers of 1000.
std::string format_memory(double bytes);

/// Throws ConfigError where `bytes` are more than available_memory():
/// "--batch 1000000000 needs about 3.1 TB of memory, 23 GB are there; a smaller --batch needs less". `what` is the
/// option with its value, `remedy` what to make smaller. `bytes` is to be a lower bound, so that nothing is refused
/// that fits.
void check_memory(double bytes, const std::string& what, const std::string& remedy);

}  // namespace terrace
