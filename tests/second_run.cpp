#include "tests/second_run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <regex>

#include "tensor/device/device.h"
#include "tests/support.h"

namespace terrace {
namespace {

size_t last_line_at(const std::string& output) {
  const size_t end = output.find_last_not_of('\n');
  return end == std::string::npos ? 0 : output.rfind('\n', end) + 1;
}

/// Tests whose suite begins so compare the CPU with CUDA's kernels by themselves (tests/cuda/parity.h): once is enough.
bool is_of_cuda(const std::string& name) { return name.starts_with("Cuda"); }

/// Whether a test of tests/tensor and tests/ops has inputs on test_device(). Those named here are about the CPU alone.
bool runs_on_a_device(const std::string& file, const std::string& name) {
  static const std::map<std::string, std::string> about_the_cpu = {
      {"Linear.NaNsOfBf16WeightsStay", "how the CPU rounds to bf16"},
      {"Conv2d.LargeImagesAgreeWithF64",
       "where the CPU's algorithms change; in the executor it takes most of a minute"},
      {"Softmax.ResultsBeyondTheCacheAreStreamedAndEqual", "how the CPU stores what its cache does not hold"},
  };
  static const std::regex of_ops("tests/(ops/.*|tensor/(matmul|pointwise|reduce))\\.cpp$");
  return std::regex_search(file, of_ops) && !is_of_cuda(name) && !about_the_cpu.contains(name);
}

bool is_of_kernels(const std::string& file, const std::string& name) {
  return (file.find("tests/tensor/") != file.npos || file.find("tests/ops/") != file.npos) && !is_of_cuda(name);
}

enum class Of : uint8_t { kAll, kThoseThatRan };

/// "Suite.Test:Suite.Other" of the tests that are `chosen` by file and name.
std::string tests_that(bool (*chosen)(const std::string& file, const std::string& name), Of of) {
  std::string names;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestInfo& test = *suite.GetTestInfo(t);
      const std::string name = cat(suite.name(), ".", test.name());
      if ((of == Of::kAll || test.should_run()) && chosen(test.file(), name)) { names += name + ":"; }
    }
  }
  return names;
}

/// `setting`: NAME=VALUE for the environment of the other process.
TestCounts run_again(const std::string& setting, const std::string& tests) {
  if (tests.empty()) { return {}; }
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::cout << "Again with " << setting << ": " << std::count(tests.begin(), tests.end(), ':')
            << " tests of tensor and ops" << std::endl;
  const std::string output =
      run_command(cat(setting, " '", program, "' --gtest_brief=1 --gtest_filter='", tests, "'")).output;
  std::cout << output.substr(0, last_line_at(output));
  return counts_of_last_line(output);
}

TestCounts operator+(const TestCounts& a, const TestCounts& b) {
  return {a.passed + b.passed, a.failed + b.failed, a.skipped + b.skipped};
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

void choose_tests_on_a_device() {
  const bool wanted = std::getenv("TERRACE_TEST_DEVICE") != nullptr && GTEST_FLAG_GET(filter) == "*";
  if (wanted) { GTEST_FLAG_SET(filter, tests_that(runs_on_a_device, Of::kAll)); }
}

TestCounts run_again_with_other_kernels() {
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  if (is_set("TERRACE_CPU") || is_set("TERRACE_TEST_DEVICE") || GTEST_FLAG_GET(list_tests)) { return {}; }
  TestCounts counts;
  if (cpu_backend() == Backend::kAvx512) {
    counts = run_again("TERRACE_CPU=avx2", tests_that(is_of_kernels, Of::kThoseThatRan));
  }
  const std::string on_a_device = tests_that(runs_on_a_device, Of::kThoseThatRan);
  counts = counts + run_again("TERRACE_GUARD=1 TERRACE_TEST_DEVICE=cuda-host", on_a_device);
  if (gpu()) { counts = counts + run_again("TERRACE_TEST_DEVICE=cuda", on_a_device); }
  return counts;
}

}  // namespace terrace
