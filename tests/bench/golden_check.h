// What a benchmark checks before it times: the golden results of a fixture.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/fixtures/fixture.h"
#include "tensor/base/error.h"

namespace terrace {

/// Throws where a result is not the fixture's. `program` is argv[0].
inline void validate_fixture(const std::string& name, const char* program, Device device = kCpu) {
  namespace fs = std::filesystem;
  const fs::path root = fs::absolute(program).parent_path().parent_path().parent_path();
  const std::string fixture = (root / "tests/golden" / name).string();
  const fs::path out = fs::temp_directory_path() / cat("bench_", getpid(), "_", name);
  run_fixture(fixture, out.string(), "", device);
  const std::vector<ResultDifference> results = compare_with_fixture(fixture, out.string());
  fs::remove(out);
  for (const ResultDifference& r : results) {
    if (!r.within()) { throw Error(cat(name, ": ", r.dataset, " is not the fixture's: ", r.problem, r.error)); }
  }
  std::printf("valid: %zu golden results\n", results.size());
}

}  // namespace terrace
