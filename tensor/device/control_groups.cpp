#include "tensor/device/control_groups.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

namespace terrace {
namespace {

using OfGroup = double (*)(const std::string& folder);

/// Of `path` below `mount` and of the groups around it, up to the mount itself.
double least_up_to(const std::string& mount, std::string path, OfGroup of_group) {
  double least = of_group(mount);
  while (!path.empty() && path != "/") {
    least = std::min(least, of_group(mount + path));
    path.resize(path.find_last_of('/'));
  }
  return least;
}

}  // namespace

std::string own_control_groups() {
  std::ifstream file("/proc/self/cgroup");
  return {std::istreambuf_iterator<char>(file), {}};
}

double least_of_control_groups(const std::string& groups, const std::string& root, const std::string& controller,
                               OfGroup of_group) {
  double least = std::numeric_limits<double>::infinity();
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) { continue; }
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_up_to(root, path, of_group));
    } else if ((',' + controllers + ',').find(',' + controller + ',') != std::string::npos) {
      least = std::min(least, least_up_to(root + '/' + controller, path, of_group));
    }
  }
  return least;
}

}  // namespace terrace
