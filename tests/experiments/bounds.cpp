// What no machine can do is refused at the start, with the figure and the option; what takes long ends after Ctrl-C.
#include <string>
#include <thread>

#include "data/datasets/image_dataset.h"
#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Bounds = Programs;

/// The program under a limit of kilobytes of address space, ended after 20 seconds: status 137.
CommandResult run_in(int64_t kilobytes, const std::string& program, const std::string& arguments) {
  return run_command(cat("bash -c 'ulimit -v ", kilobytes, "; exec timeout -s KILL 20 ", program_path(program).string(),
                         " ", arguments, "'"));
}

/// Ctrl-C after `seconds`; killed five seconds later, since other tests may use the cores.
CommandResult run_interrupted_after(double seconds, const std::string& program, const std::string& arguments) {
  return run_command(
      cat("timeout --preserve-status -s INT -k 5 ", seconds, " ", program_path(program).string(), " ", arguments));
}

TEST_F(Bounds, MemoryThatIsNotThereIsRefused) {
  expect_refusal(run("train_var", var_arguments("big_batch") + " --batch 1e9"), "--batch 1000000000 needs about ");
  expect_refusal(run("train_vqvae", vqvae_arguments("big_batch") + " --batch 1e9"), "--batch 1000000000 needs about ");
  expect_refusal(run("train_var", var_arguments("big_batch") + " --embed-dim 2000000 --depth 64"),
                 "a step of one image with --depth 64, --embed-dim 2000000 and 21 tokens needs about ");
  expect_refusal(run("pe_study", file("data.h5") + study_arguments("big_study") + " --samples 1e12"),
                 "--samples 1000000000000 needs ");
  expect_refusal(run("pe_study", file("data.h5") + study_arguments("big_study") + " --tokenizer-batch 1e9"),
                 "--tokenizer-batch 1000000000 needs about ");
  const std::string models = "--checkpoint " + file("var") + " --tokenizer " + file("vqvae") + " ";
  expect_refusal(run("sample", models + "--count 1e12 --out " + file("big_count")), "--count 1000000000000 needs ");
  expect_refusal(run("edit", models + "--image " + file("data.h5") + "/test/0 --box 0,0,8,8 --count 1e12 --out " +
                                 file("big_count")),
                 "--count 1000000000000 needs about ");
}

TEST_F(Bounds, NumbersBeyondReasonAreRefusedWithTheAllowedOnes) {
  expect_refusal(run("train_vqvae", vqvae_arguments("x") + " --init-iterations 1e9"),
                 "--init-iterations must be at most 100000, got 1000000000");
  expect_refusal(run("evaluate", "--fake " + file("data.h5") + " --real " + file("data.h5") + " --bootstrap 1e9"),
                 "--bootstrap must be at most 1000000, got 1000000000");
  expect_refusal(run("train_var", var_arguments("x") + " --ranks 1024"),
                 "--ranks 1024 are more than the 4 images of --batch; each computes one at least");
  write_file(file("sides.json"),
             json_text(Json{{"data", file("data.h5")}, {"patch-nums", std::vector<int>(100001, 1)}}));
  expect_refusal(run("train_vqvae", "--config " + file("sides.json") + " --out " + file("x")),
                 "patch_nums: at most 256 scales, got 100001");
  expect_refusal(run("pe_study", study_arguments("x") + " --samples 9223372036854775807"),
                 "--samples must be at most 1000000000000000, got 9223372036854775807");
  expect_refusal(run("train_vqvae", vqvae_arguments("x") + " --minutes inf"),
                 "--minutes must be at most 525600, got inf");
}

TEST_F(Bounds, WhatIsNoOptionIsRefusedInOurWords) {
  for (const char* program : {"train_vqvae", "train_var", "sample", "edit", "reconstruct", "evaluate",
                              "convert_weights", "prepare_data", "inspect_pe", "pe_study", "run_fixture"}) {
    expect_refusal(run(program, "-- ---"), "error: ");
    EXPECT_EQ(run(program, "-- ---").output.find("basic_string"), std::string::npos) << program;
  }
  write_file(file("c.json"), "{\"steps\":\n 1e400}");
  expect_refusal(run("train_vqvae", "--config " + file("c.json")),
                 file("c.json") + ": line 2: 1e400 is beyond the numbers of JSON here");
  expect_refusal(run("train_vqvae", "--config /dev/zero"), "/dev/zero: is larger than 64 MiB");
  expect_refusal(run("train_vqvae", "--data x --out ''"), "--out must not be empty");
}

TEST_F(Bounds, LongLoopsEndAfterCtrlC) {
  const CommandResult codes = run_interrupted_after(
      1.5, "train_vqvae", vqvae_arguments("long_codes") + " --init-iterations 100000 --vocab 512");
  EXPECT_EQ(codes.status, 130) << codes.output;
  EXPECT_NE(codes.output.find("interrupted before the first step was done"), std::string::npos) << codes.output;
  // A step of many seconds.
  const CommandResult step = run_interrupted_after(
      4, "train_var", var_arguments("long_step") + " --batch 3000 --depth 6 --embed-dim 128 --heads 4");
  EXPECT_EQ(step.status, 130) << step.output;
  const CommandResult pictures =
      run_interrupted_after(1.5, "prepare_data", "procedural --count 1e6 --out " + file("long.h5"));
  EXPECT_EQ(pictures.status, 130) << pictures.output;
  EXPECT_FALSE(std::filesystem::exists(file("long.h5")));
}

TEST_F(Bounds, LittleAddressSpaceIsSaidOrEnough) {
  const std::string version = "--version";
  const CommandResult none = run_in(300000, "train_vqvae", version);
  EXPECT_EQ(none.status, 2) << none.output;
  EXPECT_NE(none.output.find("train_vqvae: error: the limit of address space (ulimit -v or -d) leaves "),
            std::string::npos)
      << none.output;
  if (std::thread::hardware_concurrency() > 1) {
    const CommandResult one = run_in(800000, "train_vqvae", vqvae_arguments("little_space"));
    EXPECT_EQ(one.status, 0) << one.output;
    const CommandResult noted =
        run_in(600000, "train_vqvae", vqvae_arguments("less_space") + " --threads 128 --overwrite");
    EXPECT_EQ(noted.status, 0) << noted.output;
    EXPECT_NE(noted.output.find(" MB: computing with 1 thread\n"), std::string::npos) << noted.output;
  }
  for (const char* program : {"train_var", "sample", "edit", "reconstruct", "evaluate", "convert_weights",
                              "prepare_data", "inspect_pe", "pe_study", "run_fixture"}) {
    EXPECT_EQ(run_in(300000, program, version).status, 2) << program;
    EXPECT_EQ(run_in(2000000, program, version).status, 0) << program;
  }
}

TEST_F(Bounds, AnEmptySplitIsMetAtTheStart) {
  const std::string data = file("empty_test.h5");
  const Tensor images = Tensor::zeros({8, 32, 32, 3}, DType::kU8), labels = Tensor::zeros({8}, DType::kI64);
  {
    ImageDatasetWriter writer(data, 32, 32, {"one"}, "made by the test");
    writer.begin_split("train");
    writer.append(images, labels);
    writer.begin_split("test");
    writer.commit();
  }
  const std::string refusal =
      data + ": split \"test\" has no images; make the dataset with some, or without that split";
  const auto with_data = [&](std::string arguments) {
    return arguments.replace(arguments.find(file("data.h5")), file("data.h5").size(), data);
  };
  expect_refusal(run("train_vqvae", with_data(vqvae_arguments("empty"))), refusal);
  expect_refusal(run("train_var", with_data(var_arguments("empty"))), refusal);
  expect_refusal(run("pe_study", data + study_arguments("empty")), refusal);
  expect_refusal(run("reconstruct", data + " --tokenizer " + file("vqvae") + " --out " + file("empty")), refusal);
  expect_refusal(run("evaluate", "--fake " + data + " --real " + file("data.h5")), refusal);
}

TEST_F(Bounds, OneImageOfOneClassIsEnoughOrRefusedByName) {
  const std::string data = file("one.h5");
  create_dataset(data, "train", Tensor::zeros({1, 32, 32, 3}, DType::kU8), Tensor::zeros({1}, DType::kI64), {"one"},
                 "made by the test");
  const auto with_data = [&](std::string arguments) {
    return arguments.replace(arguments.find(file("data.h5")), file("data.h5").size(), data);
  };
  expect_refusal(run("train_vqvae", with_data(vqvae_arguments("one"))),
                 "batch: 4 is more than the 1 images of " + data);
  expect_success(run("train_vqvae", with_data(vqvae_arguments("one")) + " --batch 1"));
  expect_success(run("train_var", with_data(var_arguments("one_var")) + " --batch 1"));
}

}  // namespace
}  // namespace terrace
