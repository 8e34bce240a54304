// Runs the tests and ends with one line that counts them: "312 passed, 0 failed, 2 skipped".
#include <gtest/gtest.h>

#include <iostream>

#include "experiments/cli/core_sharing.h"
#include "tests/second_run.h"

int main(int argc, char** argv) {
  terrace::bound_spinning(argv);
  // A death test runs in a new process, not in a fork of this one, whose other threads would be missing there.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  testing::InitGoogleTest(&argc, argv);
  terrace::choose_tests_on_a_device();
  const int result = RUN_ALL_TESTS();
  const terrace::TestCounts again = terrace::run_again_with_other_kernels();
  const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  std::cout << tests.successful_test_count() + again.passed << " passed, " << tests.failed_test_count() + again.failed
            << " failed, " << tests.skipped_test_count() + again.skipped << " skipped" << std::endl;
  return result == 0 && again.failed > 0 ? 1 : result;
}
