#include "tensor/device/cores.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_file(path, text);
}

TEST(Cores, AQuotaOfAVersion2GroupOrOfOneAroundItCounts) {
  const TemporaryFolder root;
  write(root / "cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_quota("0::/job/step\n", root.path()), INFINITY);
  write(root / "job/step/cpu.max", "350000 100000\n");
  EXPECT_EQ(cpu_quota("0::/job/step\n", root.path()), 3.5);
  write(root / "job/cpu.max", "150000 100000\n");
  EXPECT_EQ(cpu_quota("0::/job/step\n", root.path()), 1.5);
  EXPECT_EQ(cpu_quota("0::/other\n", root.path()), INFINITY);
  write(root / "cpu.max", "50000 100000\n");  // a container sees its own group as the root
  EXPECT_EQ(cpu_quota("0::/\n", root.path()), 0.5);
}

TEST(Cores, AQuotaOfVersion1IsReadWhereTheControllerIsMounted) {
  const TemporaryFolder root;
  const std::string groups = "12:memory:/job\n4:cpu,cpuacct:/job\n1:cpuset:/\n0::/\n";
  EXPECT_EQ(cpu_quota(groups, root.path()), INFINITY);
  write(root / "cpu/job/cpu.cfs_quota_us", "-1\n");
  write(root / "cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota(groups, root.path()), INFINITY);
  write(root / "cpu/job/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(cpu_quota(groups, root.path()), 2.5);
  EXPECT_EQ(cpu_quota("no groups here", root.path()), INFINITY);
}

TEST(Cores, ThereIsOneAtLeast) { EXPECT_GE(available_cores(), 1); }

TEST(Cores, ThreadsTakeWhatOthersLeaveAndNeverLessThanOne) {
  EXPECT_EQ(threads_beside(0, 2, 2), 2);
  EXPECT_EQ(threads_beside(0.4, 2, 2), 2);  // a browser
  EXPECT_EQ(threads_beside(0.7, 2, 2), 1);  // one busy process, which two threads leave two thirds of a core
  EXPECT_EQ(threads_beside(2, 2, 2), 1);
  EXPECT_EQ(threads_beside(5, 16, 16), 11);
  EXPECT_EQ(threads_beside(5, 16, 4), 4);
  EXPECT_EQ(threads_beside(50, 64, 2), 2);  // a quota of two cores of many
  EXPECT_EQ(threads_beside(1e9, 4, 4), 1);
}

/// Seconds of one core in which other processes ran during 0.3 seconds of work in this one.
double others_during(const std::function<void()>& body) {
  const CpuTimes begin = cpu_times();
  body();
  return cpu_times().others - begin.others;
}

void spin(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {}
}

TEST(Cores, TheTimeOfAnotherProcessIsCountedAndOwnTimeIsNot) {
  const double alone = others_during([] { spin(0.5); });
  const pid_t child = fork();
  if (child == 0) {
    spin(10);
    _exit(0);
  }
  const double beside = others_during([] { std::this_thread::sleep_for(std::chrono::milliseconds(500)); });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  // The machine may be busy with anything else; but one core's own work is not the others'.
  EXPECT_LT(alone, 0.5 * std::thread::hardware_concurrency() - 0.1);
  EXPECT_GT(beside, 0.1);
  EXPECT_GT(cpu_times().cores, 0);
}

}  // namespace
}  // namespace terrace
