#include "experiments/cli/memory_bounds.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "experiments/cli/address_space.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

/// The number in the file's first word; infinite where there is none ("max", or no such file).
double number_in(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  return word.empty() || *end != '\0' ? kNoLimit : value;
}

/// The sum of the fields `names` in a file of lines "NAME NUMBER" or "NAME: NUMBER kB"; -1 where none is there.
double fields_of(const std::string& path, const std::string& first, const std::string& second) {
  std::ifstream file(path);
  double sum = 0;
  bool found = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    double value = 0;
    words >> name >> value;
    if (name != first && name != second) { continue; }
    sum += value;
    found = true;
  }
  return found ? sum : -1;
}

double left_in_group(const std::string& folder) {
  const bool unified = std::ifstream(folder + "/memory.max").good();
  const double limit = number_in(folder + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
  const double use = number_in(folder + (unified ? "/memory.current" : "/memory.usage_in_bytes"));
  if (limit == kNoLimit || use == kNoLimit) { return kNoLimit; }
  const char* cache = unified ? "file" : "total_cache";
  return limit - use + std::max(0.0, fields_of(folder + "/memory.stat", cache, cache));
}

double left_in_groups_below(const std::string& mount, std::string path) {
  double least = left_in_group(mount);
  while (!path.empty() && path != "/") {
    least = std::min(least, left_in_group(mount + path));
    path.resize(path.find_last_of('/'));
  }
  return least;
}

}  // namespace

double memory_left_in_groups(const std::string& groups, const std::string& root) {
  double least = kNoLimit;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "0::/path" of version 2, "4:memory:/path" of version 1
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) { continue; }
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) { least = std::min(least, left_in_groups_below(root, path)); }
    if (controllers == "memory") { least = std::min(least, left_in_groups_below(root + "/memory", path)); }
  }
  return least;
}

double available_memory() {
  const double kib = fields_of("/proc/meminfo", "MemAvailable:", "SwapFree:");
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), {}};
  const int64_t left = address_space_left();
  return std::max(0.0, std::min({kib < 0 ? kNoLimit : kib * 1024, memory_left_in_groups(groups, "/sys/fs/cgroup"),
                                 left < 0 ? kNoLimit : static_cast<double>(left)}));
}

std::string format_memory(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 6) { bytes /= 1000, ++unit; }
  char text[32];
  std::snprintf(text, sizeof text,
                bytes < 9.95 && unit > 0 ? "%.1f %s"
                : bytes < 1e6            ? "%.0f %s"
                                         : "%.1e %s",
                bytes, units[unit]);
  return text;
}

void check_memory(double bytes, const std::string& what, const std::string& remedy) {
  const double there = available_memory();
  if (bytes <= there) { return; }
  throw ConfigError(cat(what, " needs about ", format_memory(bytes), " of memory, ", format_memory(there),
                        " are there; a smaller ", remedy, " needs less"));
}

}  // namespace terrace
