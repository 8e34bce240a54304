// The kernels of tensor/ and of the ops exist several times: once for each instruction set of the CPU, and as CUDA's.
// The test program runs their tests again, each time in a process of its own that asks for other kernels:
//
// - with TERRACE_CPU=avx2 where this process took AVX-512's, which would leave AVX2's untested;
// - with TERRACE_TEST_DEVICE=cuda-host: the same tests with their tensors on that device, so that values, gradients and
//   gradient checks hold for CUDA's kernels too, in memory that the host cannot touch (TERRACE_GUARD=1); and with
//   TERRACE_TEST_DEVICE=cuda where there is a GPU.
#pragma once

#include <string>

namespace terrace {

struct TestCounts {
  int passed = 0, failed = 0, skipped = 0;
};

/// The counts of the line that a test program ends with; one failure where `output` does not end with such a line.
TestCounts counts_of_last_line(const std::string& output);

/// Where TERRACE_TEST_DEVICE is set and no filter is: chooses the tests that run on a device.
void choose_tests_on_a_device();

/// Runs the tests of the kernels that ran here again, as above, prints what they print but for their last lines, and
/// gives the counts of all. Nothing where TERRACE_CPU or TERRACE_TEST_DEVICE is set: then this process was asked for
/// certain kernels.
TestCounts run_again_with_other_kernels();

}  // namespace terrace
