// Runs of trainers that were killed, interrupted or cut: what is recorded of them, and how they are gone on with.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// Of a run that was killed before its first checkpoint each refusal names what the other accepts.
TEST_F(Programs, ARunKilledBeforeItsFirstCheckpointIsBegunAnew) {
  for (const auto& [program, name, arguments] :
       {std::tuple{"train_vqvae", "vqvae", vqvae_arguments("vqvae_early") + " --grid-images 0"},
        std::tuple{"train_var", "var", var_arguments("var_early") + " --grid-images 0"}}) {
    SCOPED_TRACE(program);
    const std::string folder = file(cat(name, "_early"));
    fs::create_directories(folder);
    Json record = read_json_file(file(cat(name, "/run.json")));
    record["ended"] = nullptr;
    write_file(folder + "/run.json", record.dump());
    const CommandResult refused = run(program, arguments);
    expect_refusal(refused, folder + " holds an unfinished run of " + program + " that began ");
    EXPECT_NE(refused.output.find("Z; add --overwrite to replace it, or give another folder with --out"),
              std::string::npos)
        << refused.output;
    expect_refusal(run(program, arguments + " --resume"),
                   "--resume: " + folder +
                       "/checkpoint.h5 does not exist, so there is nothing to go on from; give --overwrite in place "
                       "of --resume to begin anew");
    expect_success(run(program, arguments + " --overwrite"));
    EXPECT_TRUE(fs::exists(folder + "/checkpoint.h5"));
  }
}

}  // namespace
}  // namespace terrace
