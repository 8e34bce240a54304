#include "experiments/cli/core_sharing.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "experiments/cli/program.h"
#include "tensor/device/cores.h"
#include "tensor/device/device.h"
#include "tests/busy_loops.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(CoreSharing, ThreadsGiveWayToBusyCoresAndSaySoOnce) {
  const int before = threads();
  const int cores = available_cores();
  if (cores == 1) { GTEST_SKIP() << "one core has nothing to share"; }
  testing::internal::CaptureStderr();
  begin_core_sharing(0);
  EXPECT_EQ(threads(), cores);
  EXPECT_EQ(thread_limit(), cores);
  {
    const BusyLoops loops(2 * cores);
    // Twice as many loops as cores take more than half a core of what this process leaves, whatever else runs.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (threads() == cores && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      check_interrupt();
    }
    EXPECT_LT(threads(), cores);
    EXPECT_EQ(thread_limit(), cores);
    for (int i = 0; i < 200; ++i) {  // 4 seconds
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      check_interrupt();
    }
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("note: other processes use "), std::string::npos) << text;
  EXPECT_EQ(text.find("note: ", text.find("note: ") + 1), std::string::npos) << text;
  begin_core_sharing(1);
  set_threads(before);
}

TEST(CoreSharing, MoreThreadsThanCoresAreNotStarted) {
  const int before = threads();
  const int cores = available_cores();
  testing::internal::CaptureStderr();
  begin_core_sharing(cores + 6);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(threads(), cores);
  EXPECT_NE(text.find(cat("note: --threads ", cores + 6, ": ", cores, cores == 1 ? " core is" : " cores are",
                          " available; computing with ", cores, "\n")),
            std::string::npos)
      << text;
  begin_core_sharing(1);
  set_threads(before);
}

TEST(CoreSharing, ThreadsThatAreBoundToPlacesHaveAllOfThem) {
  if (available_cores() == 1) { GTEST_SKIP() << "one core is one place"; }
  const TemporaryFolder folder;
  for (const std::string binding : {"OMP_PROC_BIND=true", "OMP_PLACES=cores", "GOMP_CPU_AFFINITY=0-1023"}) {
    const CommandResult result =
        run_command("env -u GOMP_SPINCOUNT " + binding + " " + program_path("prepare_data").string() +
                    " procedural --count 16 --test-count 16 --threads 2 --overwrite --out " + folder / "p.h5");
    EXPECT_EQ(result.status, 0) << result.output;
    EXPECT_EQ(result.output.find("note: --threads"), std::string::npos) << binding << ": " << result.output;
  }
}

TEST(CoreSharing, ProgramsBoundTheSpinningUnlessTheEnvironmentDoes) {
  EXPECT_NE(std::getenv("GOMP_SPINCOUNT"), nullptr) << "these tests began by bound_spinning()";
  const std::string version = program_path("sample").string() + " --version";
  const CommandResult bounded =
      run_command("env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY OMP_DISPLAY_ENV=verbose " + version);
  EXPECT_EQ(bounded.status, 0);
  EXPECT_NE(bounded.output.find("GOMP_SPINCOUNT = '10000'"), std::string::npos) << bounded.output;
  const CommandResult passive =
      run_command("env -u GOMP_SPINCOUNT OMP_WAIT_POLICY=passive OMP_DISPLAY_ENV=verbose " + version);
  EXPECT_EQ(passive.output.find("GOMP_SPINCOUNT = '10000'"), std::string::npos) << passive.output;
}

}  // namespace
}  // namespace terrace
