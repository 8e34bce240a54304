#include "tests/second_run.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "tensor/device.h"
#include "tests/support.h"

namespace terrace {
namespace {

size_t last_line_at(const std::string& output) {
  const size_t end = output.find_last_not_of('\n');
  return end == std::string::npos ? 0 : output.rfind('\n', end) + 1;
}

/// "Suite.Test:Suite.Other" of the tests of the kernels that this process was asked to run.
std::string kernel_tests() {
  std::string names;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestInfo& test = *suite.GetTestInfo(t);
      const std::string file = test.file();
      const bool of_kernels = file.find("tests/tensor/") != file.npos || file.find("tests/ops/") != file.npos;
      if (test.should_run() && of_kernels) names += cat(suite.name(), ".", test.name(), ":");
    }
  }
  return names;
}

}  // namespace

TestCounts counts_of_last_line(const std::string& output) {
  TestCounts counts;
  const char* line = output.c_str() + last_line_at(output);
  if (std::sscanf(line, "%d passed, %d failed, %d skipped", &counts.passed, &counts.failed, &counts.skipped) == 3) {
    return counts;
  }
  return {.failed = 1};
}

TestCounts run_again_with_avx2() {
  const bool own_choice = std::getenv("TERRACE_CPU") == nullptr && !GTEST_FLAG_GET(list_tests);
  if (!own_choice || !__builtin_cpu_supports("avx512f") || cpu_backend() != Backend::kAvx512) return {};
  const std::string tests = kernel_tests();
  if (tests.empty()) return {};
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::cout << "Again with TERRACE_CPU=avx2: the tests of tensor and ops" << std::endl;
  const std::string output =
      run_command(cat("TERRACE_CPU=avx2 '", program, "' --gtest_brief=1 --gtest_filter='", tests, "'")).output;
  std::cout << output.substr(0, last_line_at(output));
  return counts_of_last_line(output);
}

}  // namespace terrace
