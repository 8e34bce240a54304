// Programs that are stopped, by signals of all kinds and at any time, and what they leave.
#include <filesystem>
#include <set>

#include "data/files/atomic_file.h"
#include "tests/data/files/other_process.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "var/training/stored_position.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// What is in the folder that was being written, or kept others from writing.
std::string unfinished_in(const std::string& folder) {
  std::string found;
  if (!fs::exists(folder)) { return found; }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".partial-") != std::string::npos || name.ends_with(".lock")) { found += name + " "; }
  }
  return found;
}

int64_t step_in_text(const std::string& text) {
  const std::string before = "after step ";
  const size_t at = text.find(before);
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + before.size()));
}

const char* const kForever = " --steps 1000000 --grid-images 0 ";

TEST_F(Programs, TrainersWriteACheckpointWhereTheTerminalIsClosed) {
  for (const auto& [program, out, arguments] : {std::tuple{"train_vqvae", "vqvae_hup", vqvae_arguments("vqvae_hup")},
                                                std::tuple{"train_var", "var_hup", var_arguments("var_hup")}}) {
    SCOPED_TRACE(program);
    run_interrupted(program, arguments + kForever + "--checkpoint-every 1", file(out), "HUP");
    EXPECT_EQ(unfinished_in(file(out)), "");
    const int64_t step = stored_position(file(out) + "/checkpoint.h5")->step;
    expect_success(run(program, cat(arguments, " --grid-images 0 --resume --steps ", step + 1)));
  }
}

TEST_F(Programs, TrainersWriteACheckpointWhereNobodyReadsWhatTheyPrint) {
  for (const auto& [program, out, arguments] : {std::tuple{"train_vqvae", "vqvae_pipe", vqvae_arguments("vqvae_pipe")},
                                                std::tuple{"train_var", "var_pipe", var_arguments("var_pipe")}}) {
    SCOPED_TRACE(program);
    const std::string checkpoint = file(out) + "/checkpoint.h5";
    // The reader goes once there is something to keep.
    const CommandResult result =
        run_command(cat("bash -c 'set -o pipefail; ", program_path(program).string(), " ", arguments, kForever,
                        "--evaluate-every 1 --checkpoint-every 1 2>&1 | for i in $(seq 6000); do [ -e ", checkpoint,
                        " ] && break; sleep 0.01; done'"));
    EXPECT_EQ(result.status, 130) << result.output;
    EXPECT_TRUE(fs::exists(checkpoint));
    EXPECT_EQ(unfinished_in(file(out)), "");
  }
}

TEST_F(Programs, ListsEndQuietlyWhereNobodyReadsThem) {
  const CommandResult result =
      run_command(cat("bash -c \"set -o pipefail; ( sleep 0.2; ", program_path("convert_weights").string(), " ",
                      file("var"), " --list --all ) | true\""));
  EXPECT_EQ(result.status, 128 + SIGPIPE);
  EXPECT_EQ(result.output, "");
}

/// Signals at times that are spread over what the program does: it ends by its own exit code, with one line, and
/// nothing is left that was being written.
TEST_F(Programs, SignalsLeaveNothingUnfinished) {
  const std::string models = " --checkpoint " + file("var") + " --tokenizer " + file("vqvae") + " --threads 1 ";
  const std::string out = file("signalled");
  const std::pair<const char*, std::string> programs[] = {
      {"prepare_data", "procedural --count 20000 --out " + out + "/data.h5"},
      {"train_vqvae", vqvae_arguments("signalled") + kForever + "--checkpoint-every 1 --evaluate-every 2"},
      {"train_var", var_arguments("signalled") + kForever + "--checkpoint-every 1 --evaluate-every 2"},
      {"sample", models + "--count 200 --batch 2 --show-scales --npz " + out + "/all.npz --out " + out + "/run"},
      {"reconstruct", file("data.h5") + " --split train --show-scales --batch 1 --tokenizer " + file("vqvae") +
                          " --threads 1 --out " + out},
      {"pe_study", study_arguments("signalled") + " --steps 100000"}};
  int time = 0;
  for (const auto& [program, arguments] : programs) {
    for (const char* signal : {"TERM", "INT", "HUP"}) {
      SCOPED_TRACE(cat(program, " ", signal));
      fs::remove_all(out);
      fs::create_directory(out);
      time = (time * 7 + 3) % 20;
      const CommandResult result =
          run_command(cat("env --default-signal timeout --preserve-status -s ", signal, " ", 0.05 + 0.05 * time, " ",
                          program_path(program).string(), " ", arguments, " > ", file("said.txt"), " 2>&1"));
      const std::set<int> fine = {0, 130, 128 + SIGTERM, 128 + SIGINT, 128 + SIGHUP};  // the last: before main()
      EXPECT_TRUE(fine.contains(result.status)) << result.status << read_file(file("said.txt"));
      EXPECT_EQ(unfinished_in(out), "");
    }
  }
}

TEST_F(Programs, WhatKilledWritersLeftGoesWithTheNext) {
  const std::string folder = file("killed");
  fs::create_directory(folder);
  const std::string arguments = "procedural --test-count 8 --out " + folder + "/data.h5 --count ";
  for (int i = 0; i < 2; ++i) {
    run_in_background("prepare_data", arguments + "10000000", folder + "/data.h5.partial-*", "kill -9 %1; wait %1");
  }
  EXPECT_EQ(names_in(folder).find("[.data.h5.lock, data.h5.partial-"), 0U) << names_in(folder);
  expect_success(run("prepare_data", arguments + "16"));
  EXPECT_EQ(names_in(folder), "[data.h5, data.run.json]");
}

TEST_F(Programs, TwoRunsDoNotWriteIntoOneFolder) {
  const std::string arguments = var_arguments("two") + kForever;
  const CommandResult both =
      run_in_background("train_var", arguments, file("two") + "/run.json",
                        cat(program_path("train_var").string(), " ", arguments, "--overwrite > ", file("second.txt"),
                            " 2>&1; echo second $?; kill -9 %1; wait %1; true"));
  EXPECT_NE(both.output.find("second 2"), std::string::npos) << both.output;
  const std::string said = read_file(file("second.txt"));
  EXPECT_EQ(said.find("train_var: error: " + file("two") + " is being written by train_var (process "), 0U) << said;
  expect_refusal(run("train_var", arguments), "holds an unfinished run of train_var");
  expect_success(run("train_var", var_arguments("two") + " --grid-images 0 --overwrite"));
  EXPECT_EQ(unfinished_in(file("two")), "");
}

/// A signal to all ranks, as timeout(1) and terminals send it, and to the process that started them.
TEST_F(Programs, RanksEndAsOne) {
  const std::string arguments = var_arguments("ranks") + kForever + "--checkpoint-every 1 --ranks 2 --threads 1";
  for (const char* target : {"-- -$(jobs -p)", "$(jobs -p)"}) {
    SCOPED_TRACE(target);
    fs::remove_all(file("ranks"));
    const CommandResult stopped = run_in_background("train_var", arguments, file("ranks") + "/checkpoint.h5",
                                                    cat("kill -TERM ", target, "; wait %1"));
    EXPECT_EQ(stopped.status, 130) << stopped.output;
    EXPECT_EQ(step_in_text(stopped.output), stored_position(file("ranks") + "/checkpoint.h5")->step) << stopped.output;
  }
  fs::remove_all(file("ranks"));
  const CommandResult hung = run_in_background(
      "train_var", arguments, file("ranks") + "/checkpoint.h5",
      "all=$(pgrep -P $(jobs -p)); kill -STOP $all; kill -TERM $(jobs -p); sleep 0.4; kill -TERM $(jobs -p); wait %1; "
      "status=$?; sleep 0.2; for p in $all; do grep -q train /proc/$p/cmdline 2>/dev/null && echo $p is left; done; "
      "exit $status");
  EXPECT_EQ(hung.status, 128 + SIGTERM) << "the second signal ends all, also where a rank hangs";
  EXPECT_EQ(hung.output.find("is left"), std::string::npos) << hung.output;
}

/// The signal comes while the ranks are being started: to all, and to the process that starts them.
TEST_F(Programs, RanksThatAreBeingStartedEndAsOne) {
  const std::string command =
      program_path("train_var").string() + " " + var_arguments("starting") + kForever + "--ranks 2 --threads 1";
  for (const char* target : {"-- -$p", "$p"}) {
    SCOPED_TRACE(target);
    const CommandResult stopped =
        run_command(cat("env --default-signal bash -c 'set -m; ", command, " & p=$!; until [ -n \"$(cat /proc/$p/task/",
                        "$p/children)\" ]; do :; done; kill -TERM ", target, "; wait $p'"));
    EXPECT_EQ(stopped.status, 130) << stopped.output;
    EXPECT_EQ(stopped.output.find("was ended by signal"), std::string::npos) << stopped.output;
  }
}

}  // namespace
}  // namespace terrace
