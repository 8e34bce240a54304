#include "tests/reliability/faults.h"
#include "data/files/atomic_file.h"

#include <algorithm>
#include <cstring>

#include "tensor/base/error.h"
#include "tests/reliability/sandbox.h"
#include "tests/support.h"

namespace terrace {

ProcessOptions with_fault(const std::string& fault, int64_t at, const std::string& root,
                          const std::filesystem::path& counter) {
  put_bytes(counter, std::string(3 * sizeof(long), '\0'));
  ProcessOptions options;
  options.environment = {
      cat("LD_PRELOAD=", (program_path("torture").parent_path().parent_path() / "lib/libterrace_faults.so").string()),
      cat("TERRACE_FAULT=", fault, ":", at), cat("TERRACE_FAULT_ROOT=", root),
      cat("TERRACE_FAULT_COUNTER=", counter.string())};
  return options;
}

CallCounts calls_counted(const std::filesystem::path& counter) {
  const std::string bytes = read_file(counter);
  long counts[3] = {};
  std::memcpy(counts, bytes.data(), std::min(bytes.size(), sizeof(counts)));
  return {.changes = counts[0], .created = counts[1], .reads = counts[2]};
}

}  // namespace terrace
