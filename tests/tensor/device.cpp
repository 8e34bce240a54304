#include "tensor/device.h"

#include <cblas.h>

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
