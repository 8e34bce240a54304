// Runs that are stopped, resumed and finished.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

TEST_F(Programs, AResumedRunKeepsItsTimesAndItsCourse) {
  const std::string record = read_file(file("var/run.json"));
  const Json before = Json::parse(record);
  EXPECT_EQ(before["results"]["held_out_images"], 16) << "the last loss is over the whole split, whatever the curve's";
  EXPECT_EQ(before["results"]["held_out_split"], "test");
  const std::string checkpoint = read_file(file("var/checkpoint.h5")), curves = read_file(file("var/curves.csv"));
  const CommandResult again = run("train_var", var_arguments("var") + " --resume");
  expect_success(again);
  EXPECT_EQ(again.output, cat("nothing is left to do: ", file("var/checkpoint.h5"), " has all ",
                              before["results"]["steps"], " steps\n"));
  EXPECT_EQ(read_file(file("var/checkpoint.h5")), checkpoint);
  EXPECT_EQ(read_file(file("var/curves.csv")), curves);
  EXPECT_EQ(read_file(file("var/run.json")), record);

  fs::remove(file("var/run.json"));  // as where the run was stopped between its last checkpoint and its end
  expect_success(run("train_var", var_arguments("var") + " --resume"));
  EXPECT_EQ(read_file(file("var/curves.csv")), curves) << "nothing was left to train, nothing was lost";
  const Json after = read_json_file(file("var/run.json"));
  EXPECT_EQ(after["results"]["seconds_per_step"], before["results"]["seconds_per_step"]);

  const std::string arguments = var_arguments("var_long");
  run_interrupted("train_var", arguments + " --steps 100000 --checkpoint-every 2", file("var_long"));
  EXPECT_TRUE(fs::exists(file("var_long/curves.csv")));
  const CommandResult other = run("train_var", arguments + " --resume");
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.output.find("another set of training options"), std::string::npos) << other.output;
}

TEST_F(Programs, AFinishedTokenizerHasNothingLeftToDo) {
  const std::string record = read_file(file("vqvae/run.json")), checkpoint = read_file(file("vqvae/checkpoint.h5"));
  const CommandResult again = run("train_vqvae", vqvae_arguments("vqvae") + " --resume");
  expect_success(again);
  EXPECT_EQ(again.output, cat("nothing is left to do: ", file("vqvae/checkpoint.h5"), " has all ",
                              Json::parse(record)["results"]["steps"], " steps\n"));
  EXPECT_EQ(read_file(file("vqvae/run.json")), record);
  EXPECT_EQ(read_file(file("vqvae/checkpoint.h5")), checkpoint);
}

TEST_F(Programs, TrainersReportAFrechetDistanceOnRequestWhichChangesNothing) {
  const CommandResult var = run("train_var", var_arguments("var_evaluated") + " --frechet-images 6");
  expect_success(var);
  EXPECT_NE(var.output.find(" of 6 samples, "), std::string::npos) << var.output;
  const Json frechet = read_json_file(file("var_evaluated/run.json"))["results"]["frechet"];
  EXPECT_GT(frechet["samples"].get<double>(), 0);
  EXPECT_GT(frechet["reconstructions"].get<double>(), 0);
  EXPECT_EQ(frechet["images"], 6);
  EXPECT_EQ(read_file(file("var_evaluated/checkpoint.h5")), read_file(file("var/checkpoint.h5")));
  const CommandResult one = run("train_var", var_arguments("var_one") + " --frechet-images 1");
  EXPECT_EQ(one.status, 2);
  EXPECT_NE(one.output.find("a Frechet distance needs two images or more, got 1"), std::string::npos) << one.output;

  const CommandResult vqvae = run("train_vqvae", vqvae_arguments("vqvae_evaluated") + " --frechet-images 6");
  expect_success(vqvae);
  EXPECT_NE(vqvae.output.find(" of the reconstructions of 6 images"), std::string::npos) << vqvae.output;
  EXPECT_GT(read_json_file(file("vqvae_evaluated/run.json"))["results"]["frechet"]["reconstructions"].get<double>(), 0);
}

TEST_F(Programs, ATransformerStoppedAndResumedIsTheUninterruptedOne) {
  const auto arguments = [](const char* out) { return var_arguments(out) + " --steps 400 --checkpoint-every 40"; };
  expect_success(run("train_var", arguments("var_through")));
  run_interrupted("train_var", arguments("var_stopped"), file("var_stopped"));
  const std::string stopped = read_file(file("var_stopped/checkpoint.h5"));
  expect_success(run("train_var", arguments("var_stopped") + " --resume"));
  EXPECT_NE(stopped, read_file(file("var_stopped/checkpoint.h5"))) << "it had been stopped before its end";
  EXPECT_EQ(read_file(file("var_stopped/checkpoint.h5")), read_file(file("var_through/checkpoint.h5")));
}

TEST_F(Programs, ATokenizerStoppedAndResumedIsTheUninterruptedOne) {
  const auto arguments = [](const char* out) {
    return vqvae_arguments(out) + " --steps 200 --checkpoint-every 20 --revive-after 5 --evaluate-every 50";
  };
  expect_success(run("train_vqvae", arguments("vqvae_through")));
  run_interrupted("train_vqvae", arguments("vqvae_stopped"), file("vqvae_stopped"));
  const std::string stopped = read_file(file("vqvae_stopped/checkpoint.h5"));
  expect_success(run("train_vqvae", arguments("vqvae_stopped") + " --resume"));
  EXPECT_NE(stopped, read_file(file("vqvae_stopped/checkpoint.h5"))) << "it had been stopped before its end";
  EXPECT_EQ(read_file(file("vqvae_stopped/checkpoint.h5")), read_file(file("vqvae_through/checkpoint.h5")));
}

}  // namespace
}  // namespace terrace
