// tools/gpu_check, as far as it can run without a GPU.
#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/support.h"

namespace terrace {
namespace {

std::string command(const TemporaryFolder& folder, const std::string& environment) {
  return cat("OUT=", folder.path(), " ", environment, " ", (source_root() / "tools/gpu_check").string());
}

/// The script checks the programs beside it.
bool is_of_this_build() {
  return run_command("command -v python3").status == 0 && source_root() / "build/bin" == program_path("").parent_path();
}
#define SKIP_WHERE_IT_CANNOT_RUN() \
  if (!is_of_this_build()) GTEST_SKIP() << "needs python3, and to be the build in build/"

TEST(GpuCheck, WithoutAGpuSaysSoInOneLine) {
  SKIP_WHERE_IT_CANNOT_RUN();
  if (gpu()) { GTEST_SKIP() << "here is a GPU"; }
  const TemporaryFolder folder;
  const CommandResult result = run_command(command(folder, "DEVICE=cuda"));
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.output.rfind("gpu-check: device cuda: ", 0), 0) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
  EXPECT_EQ(run_command(command(folder, "DEVICE=cpu STAGES=fixture")).status, 2);
}

TEST(GpuCheck, StagesLeaveATableAndFigures) {
  SKIP_WHERE_IT_CANNOT_RUN();
  const TemporaryFolder folder;
  // The benchmarks are not built for the tests.
  const bool with_benchmark = std::filesystem::exists(program_path("bench_train_step"));
  const CommandResult result =
      run_command(command(folder, cat("DEVICE=cuda-host STAGES=fixtures,same_seed,training,memcheck",
                                      with_benchmark ? ",bench_train" : "")));
  EXPECT_EQ(result.status, 0) << result.output;
  const Json report = read_json_file(folder / "results.json");
  ASSERT_EQ(report["stages"].size(), with_benchmark ? 5 : 4) << result.output;
  for (const Json& stage : report["stages"]) {
    EXPECT_EQ(stage["result"], stage["name"] == "memcheck" ? "skipped" : "passed") << stage.dump();
  }
  const Json& figures = report["stages"][0]["figures"];
  EXPECT_GT(figures["ops.h5"]["results"], 100);
  EXPECT_GT(figures["ops"].size(), 20) << figures["ops"].dump();
  EXPECT_GT(report["stages"][2]["figures"]["curve"].size(), 5);
}

TEST(GpuCheck, AStageThatFailsDoesNotStopTheOthers) {
  SKIP_WHERE_IT_CANNOT_RUN();
  const TemporaryFolder folder;
  write_file(folder / "tokens-train.h5", "no tokens");
  const CommandResult result =
      run_command(command(folder, "DEVICE=cpu STAGES=training,memcheck TOKENS=" + folder.path()));
  EXPECT_EQ(result.status, 1) << result.output;
  const Json stages = read_json_file(folder / "results.json")["stages"];
  EXPECT_EQ(stages[0]["result"], "failed") << stages.dump();
  EXPECT_EQ(stages[1]["result"], "skipped") << stages.dump();
}

}  // namespace
}  // namespace terrace
