#include "experiments/cli/memory_bounds.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "experiments/cli/address_space.h"
#include "tensor/base/error.h"
#include "tensor/device/control_groups.h"

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

}  // namespace

double memory_left_in_groups(const std::string& groups, const std::string& root) {
  return least_of_control_groups(groups, root, "memory", &left_in_group);
}

double available_memory() {
  const double kib = fields_of("/proc/meminfo", "MemAvailable:", "SwapFree:");
  const int64_t left = address_space_left();
  return std::max(
      0.0, std::min({kib < 0 ? kNoLimit : kib * 1024, memory_left_in_groups(own_control_groups(), "/sys/fs/cgroup"),
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
