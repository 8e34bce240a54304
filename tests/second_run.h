// The kernels of tensor/ and of the ops are compiled once per instruction set. A processor with AVX-512 runs only
// those, so that AVX2's would go untested there: the test program runs their tests again, in a second process that asks
// for them.
#pragma once

#include <string>

namespace terrace {

struct TestCounts {
  int passed = 0, failed = 0, skipped = 0;
};

/// The counts of the line that a test program ends with; one failure where `output` does not end with such a line.
TestCounts counts_of_last_line(const std::string& output);

/// Where this process ran AVX-512 kernels by its own choice: runs the tests of tests/tensor and tests/ops that ran here
/// again with TERRACE_CPU=avx2, prints what they print but for the last line, and gives their counts. Else zeros.
TestCounts run_again_with_avx2();

}  // namespace terrace
