// Failures of files at the k-th system call (preload/faults.cpp), for programs that run_process starts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/reliability/process.h"

namespace terrace {

/// Options of a process in which `fault` ("kill:change", "full:change", "readonly:create", "broken:read",
/// "count:change") happens at call `at` on files below `root` (or whose path holds the text `root`). The calls are
/// counted in `counter`, a file that is begun here.
ProcessOptions with_fault(const std::string& fault, int64_t at, const std::string& root,
                          const std::filesystem::path& counter);

/// Of a run with "count:change".
struct CallCounts {
  int64_t changes = 0, created = 0, reads = 0;
};
CallCounts calls_counted(const std::filesystem::path& counter);

}  // namespace terrace
