#include "tensor/device/device.h"

#include <cblas.h>

#include "tests/second_run.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(Device, NamesAndErrors) {
  EXPECT_EQ(cat(kCpu), "cpu");
  EXPECT_EQ(device_from_name("cpu"), kCpu);
  expect_error<ConfigError>([] { device_from_name("tpu"); }, "tpu");
  EXPECT_FALSE(cpu_model().empty());
}

TEST(Device, TheBestInstructionSetIsChosenOnce) {
  const Backend backend = cpu_backend();
  EXPECT_TRUE(backend == Backend::kAvx2 || backend == Backend::kAvx512);
  EXPECT_EQ(cpu_backend(), backend);
}

TEST(Device, ASecondRunIsCountedByItsLastLine) {
  const TestCounts counts = counts_of_last_line("[ FAILED ] Suite.Test\n12 passed, 1 failed, 2 skipped\n");
  EXPECT_EQ(counts.passed, 12);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.skipped, 2);
  EXPECT_EQ(counts_of_last_line("Illegal instruction\n").failed, 1) << "a process that died is a failure";
  EXPECT_EQ(counts_of_last_line("").failed, 1);
}

TEST(Device, AMissingCudaBackendSaysWhy) {
  if (std::filesystem::exists(program_path("../lib/libterrace_cuda.so"))) {
    GTEST_SKIP() << "this build has the backend";
  }
  expect_error<DeviceError>([] { device_from_name("cuda"); },
                            "the CUDA backend is not available (libterrace_cuda.so: cannot open shared object file");
}

TEST(Device, AMissingGpuIsSaidInOneLine) {
  if (!std::filesystem::exists(program_path("../lib/libterrace_cuda.so"))) { GTEST_SKIP() << "this build has no CUDA"; }
  if (std::filesystem::exists("/dev/nvidia0")) { GTEST_SKIP() << "here is a GPU"; }
  expect_error<DeviceError>([] { device_from_name("cuda"); }, "device cuda: cudaGetDeviceCount(&count) failed: ");
  expect_error<DeviceError>(
      [] {
        Tensor::empty({2}, DType::kF32, {DeviceType::kCuda, 0});
      },
      "its backend is not loaded");
}

TEST(Device, ThreadsCanBeSet) {
  const int before = threads();
  set_threads(1);
  EXPECT_EQ(threads(), 1);
  set_threads(2);
  EXPECT_EQ(threads(), 2);
  set_threads(before);
}

// Two thread pools in one process would fight for the cores.
TEST(Device, OpenBlasIsItsOpenMpBuild) { EXPECT_EQ(openblas_get_parallel(), OPENBLAS_OPENMP); }

}  // namespace
}  // namespace terrace
