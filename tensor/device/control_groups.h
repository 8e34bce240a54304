// Limits of the control groups that a process is in (cgroups, versions 1 and 2).
#pragma once

#include <string>

namespace terrace {

/// The content of /proc/self/cgroup; "" where there is none.
std::string own_control_groups();

/// The least of `of_group(folder)` over the process's group and those around it, up to the mount: "0::/path" in
/// `groups` is a group of version 2 below `root`, "4:cpu,cpuacct:/path" one of version 1 below `root`/cpu, where
/// `controller` is "cpu". Infinite where no group has the controller.
double least_of_control_groups(const std::string& groups, const std::string& root, const std::string& controller,
                               double (*of_group)(const std::string& folder));

}  // namespace terrace
