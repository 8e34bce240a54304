// Every program at toy size, as a user runs it: from pixels to a report, and what happens when something is wrong.
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/datasets/procedural.h"
#include "data/datasets/subset.h"
#include "data/files/atomic_file.h"
#include "data/images/pixels.h"
#include "experiments/cli/run_record.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

TEST_F(Programs, HelpAndVersionOfEachEndWell) {
  for (const char* program :
       {"prepare_data", "train_vqvae", "train_var", "sample", "pe_study", "inspect_pe", "convert_weights"}) {
    const CommandResult help = run(program, "--help");
    expect_success(help);
    EXPECT_NE(help.output.find("--config FILE.json"), std::string::npos) << program;
    EXPECT_NE(run(program, "--version").output.find("(Terrace)"), std::string::npos) << program;
  }
}

TEST_F(Programs, EveryRunLeavesItsRecord) {
  for (const char* folder : {"vqvae", "var"}) {
    const Json record = read_json_file(file(folder) + "/run.json");
    EXPECT_TRUE(record["configuration"].contains("steps")) << folder;
    EXPECT_TRUE(record["results"].contains("loss")) << folder;
  }
}

TEST_F(Programs, TrainingIsTheSameToTheLastBit) {
  expect_success(run("train_var", var_arguments("var_again")));
  EXPECT_EQ(read_file(file("var/checkpoint.h5")), read_file(file("var_again/checkpoint.h5")));
}

TEST_F(Programs, ARunCanBeRepeatedFromItsRecord) {
  expect_success(run("train_var", "--config " + file("var/run.json") + " --out " + file("var_repeated")));
  EXPECT_EQ(read_file(file("var/checkpoint.h5")), read_file(file("var_repeated/checkpoint.h5")));
}

TEST_F(Programs, TrainingInBf16IsAnOptionOfItsOwn) {
  expect_success(run("train_var", var_arguments("var_bf16") + " --dtype bf16"));
  expect_success(run("train_var", var_arguments("var_bf16_again") + " --dtype bf16"));
  EXPECT_EQ(read_file(file("var_bf16/checkpoint.h5")), read_file(file("var_bf16_again/checkpoint.h5")));
  EXPECT_NE(read_file(file("var_bf16/checkpoint.h5")), read_file(file("var/checkpoint.h5")));
  expect_success(run("sample", "--checkpoint " + file("var_bf16/checkpoint.h5") + " --tokenizer " +
                                   file("vqvae/checkpoint.h5") + " --classes 0 --out " + file("bf16_samples")));
  expect_refusal(run("train_var", var_arguments("var_f16") + " --dtype f16"),
                 "train_var: error: --dtype must be one of f32,bf16, got 'f16'");
}

/// One process with a batch in two micro-batches does what two processes do with one each.
TEST_F(Programs, RanksTrainAsOneProcessToTheLastBit) {
  const std::string often = " --drop 0.1 --checkpoint-every 1 ";
  expect_success(run("train_var", var_arguments("var_micro_batches") + often + "--accumulate 2"));
  const CommandResult together = run("train_var", var_arguments("var_ranks") + often + "--ranks 2");
  expect_success(together);
  EXPECT_EQ(read_file(file("var_micro_batches/checkpoint.h5")), read_file(file("var_ranks/checkpoint.h5")));
  EXPECT_EQ(together.output.find("parameters"), together.output.rfind("parameters")) << together.output;
  for (const char* name : {"curves.csv", "run.json"}) {
    EXPECT_TRUE(fs::exists(file("var_ranks") + "/" + name)) << name;
  }
  // Stopped and gone on with, as one process.
  const std::string longer = var_arguments("var_ranks_stopped") + " --drop 0.1 --checkpoint-every 1 --steps 400 ";
  run_interrupted("train_var", longer + "--ranks 2", file("var_ranks_stopped"));
  expect_success(run("train_var", longer + "--accumulate 2 --resume"));
}

TEST_F(Programs, AnErrorOfRanksIsSaidOnce) {
  expect_refusal(run("train_var", var_arguments("var_one_gpu") + " --ranks 2 --device cuda:1"),
                 "--device cuda:1: ranks take a GPU each, from cuda:0 on; with --ranks it is --device cuda");
  expect_refusal(run("train_var", "--ranks 2 --data " + file("none.h5") + " --tokenizer " +
                                      file("vqvae/checkpoint.h5") + " --out " + file("var_none")),
                 "none.h5");
}

TEST_F(Programs, ANoteOfRanksIsSaidOnce) {
  std::string record = read_file(file("var/run.json"));
  const size_t at = record.find("\"seed\"");
  ASSERT_NE(at, std::string::npos);
  write_file(file("edited.json"), record.insert(at, "\"edited\": 1, "));
  const CommandResult run_of_ranks =
      run("train_var", "--config " + file("edited.json") + " --ranks 2 --grid-images 0 --out " + file("var_edited"));
  expect_success(run_of_ranks);
  const std::string note = "its checksum differs";
  const size_t first = run_of_ranks.output.find(note);
  EXPECT_NE(first, std::string::npos) << run_of_ranks.output;
  EXPECT_EQ(first, run_of_ranks.output.rfind(note)) << run_of_ranks.output;
}

TEST_F(Programs, SampleWritesImages) {
  expect_success(run("sample", "--checkpoint " + file("var/checkpoint.h5") + " --tokenizer " +
                                   file("vqvae/checkpoint.h5") + " --classes '0,red disc top right' --out " +
                                   file("samples")));
  EXPECT_GT(files_in(file("samples")), 0);
}

TEST_F(Programs, InspectTakesACheckpointOrARun) {
  expect_success(run("inspect_pe", file("var") + " --out " + file("inspect")));
  const std::string html = read_file(file("inspect/inspect.html"));
  for (const char* text : {"Position tables: mixed", "Similarities", "Gradients", "Drift"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(html.find("http"), std::string::npos);
  const Json figures = read_json_file(file("inspect/inspect.json"));
  EXPECT_EQ(figures["scales"].size(), 3U);
  EXPECT_EQ(figures["scales"][2]["relative_drift"].size(), 16U);
  EXPECT_EQ(figures["scales"][2]["cosine_similarity"].size(), 256U);
  expect_refusal(run("inspect_pe", file("var") + " --out " + file("inspect")),
                 "; add --overwrite to replace it, or give another folder with --out");
  expect_success(run("inspect_pe", file("var/checkpoint.h5") + " --overwrite --out " + file("inspect")));
  expect_refusal(run("inspect_pe", file("var") + " --overwrite --out " + file("var")),
                 "var holds a run of train_var, which inspect_pe does not replace; give another folder with --out");
  expect_refusal(run("inspect_pe", file("data.h5") + " --out " + file("x")), "data.h5");
  expect_refusal(run("inspect_pe", file("samples_nowhere") + " --out " + file("x")), "samples_nowhere");
}

TEST_F(Programs, StudyFromPixelsToReportAndOnceMore) {
  const std::string arguments = study_arguments("study") + " --seeds 0,1";
  expect_success(run("pe_study", arguments));
  for (const char* name : {"report.html", "results.json", "curves.csv", "run.json", "study.json"}) {
    EXPECT_TRUE(fs::exists(file("study") + "/" + name)) << name;
  }
  const Json results = read_json_file(file("study/results.json"));
  EXPECT_EQ(results["runs"].size(), 4U);
  EXPECT_EQ(results["encodings"]["none"]["held_out_loss"]["runs"], 2);
  EXPECT_TRUE(results["tokenizer"]["own_class_share_real"].is_number());
  EXPECT_GT(results["tokenizer"]["frechet_distance"].get<double>(), 0);
  EXPECT_GT(results["runs"][0]["frechet_distance"].get<double>(), 0);

  EXPECT_EQ(read_json_file(file("study/run.json"))["results"]["steps"], 4);
  EXPECT_GT(results["wall_seconds"].get<double>(), 0);

  // The same again does nothing but the report; another seed adds to it; other options are refused.
  const CommandResult again = run("pe_study", arguments);
  expect_success(again);
  EXPECT_NE(again.output.find("learned-seed0: finished already"), std::string::npos) << again.output;
  expect_success(run("pe_study", study_arguments("study") + " --seeds 0,1,2"));
  EXPECT_EQ(read_json_file(file("study/results.json"))["runs"].size(), 6U);
  expect_refusal(run("pe_study", arguments + " --lr 0.5"),
                 " holds a study with lr = 0.003, not 0.5; add --overwrite to replace it, or give another folder with");

  fs::create_directories(file("study_stale"));
  fs::copy_file(file("study/data.h5"), file("study_stale/data.h5"));
  expect_refusal(run("pe_study", study_arguments("study_stale")),
                 file("study_stale/data.h5") +
                     " is there already and no run.json lists it; move it away, or give another folder with --out");

  // A part of the held-out images: reconstructions are compared with the images they were made from.
  expect_success(run("pe_study", file("study/data.h5") + " --tokenizer " + file("study/tokenizer.h5") +
                                     kTinyTransformer +
                                     "--steps 1 --batch 4 --samples 1 --encodings none --held-out-images 5 --out " +
                                     file("study_part")));
  const ImageDataset held_out = ImageDataset::open(file("study/data.h5"), "test");
  const Tensor images = images_to_float(held_out.images(part_of(held_out.size(), 5)));
  const auto vqvae = load_vqvae(file("study/tokenizer.h5"));
  const Tensor error = sub(images, vqvae->indices_to_images(vqvae->images_to_indices(images)));
  EXPECT_NEAR(read_json_file(file("study_part/results.json"))["tokenizer"]["held_out_psnr"].get<double>(),
              psnr_from_mse(squared_norm(error) / static_cast<double>(error.numel())), 1e-4);

  expect_success(run("pe_study", study_arguments("study_again") + " --seeds 0"));
  EXPECT_EQ(read_file(file("study/runs/none-seed0/checkpoint.h5")),
            read_file(file("study_again/runs/none-seed0/checkpoint.h5")));
}

TEST_F(Programs, StudyChoosesForMinutesOnceAndForAll) {
  const std::string arguments = file("data.h5") + kTinyTokenizer + kTinyTransformer +
                                "--batch 4 --tokenizer-batch 4 --encodings learned,none --minutes 0.1 "
                                "--tokenizer-steps 3 --frechet-images 8 --out " +
                                file("study_minutes");
  const CommandResult first = run("pe_study", arguments + " --seeds 0");
  expect_success(first);
  const Json results = read_json_file(file("study_minutes/results.json"));
  const Json plan = results["plan"];
  EXPECT_EQ(plan["tokenizer_steps"], 3) << "given";
  EXPECT_EQ(plan["frechet_images"], 8) << "given";
  const auto steps = plan["steps"].get<int64_t>(), every = plan["evaluate_every"].get<int64_t>();
  EXPECT_GE(steps, 20);
  EXPECT_LE(steps / every, 12);
  EXPECT_LE(plan["final_images"], 16);
  EXPECT_EQ(results["configuration"]["steps"], plan["steps"]);
  EXPECT_EQ(results["configuration"]["samples"], plan["samples"]);
  EXPECT_GT(results["step_share"].get<double>(), 0);
  EXPECT_LE(results["step_share"].get<double>(), 1);
  // What is said of short runs stands above the table, and in the file.
  const std::string warning = results["too_short"].get<std::string>();
  EXPECT_EQ(warning.find("Too short to compare encodings: the tokenizer has 3 steps, fewer than 100"), 0U) << warning;
  EXPECT_LT(first.output.find(warning), first.output.find("encoding               held-out loss")) << first.output;
  EXPECT_NE(first.output.find("study: TOO SHORT: 3 steps of the tokenizer are fewer than 100, too few to compare"),
            std::string::npos)
      << first.output;

  // Another seed does the same, and nothing of the first is done anew.
  expect_success(run("pe_study", arguments + " --seeds 0,1"));
  const Json more = read_json_file(file("study_minutes/results.json"));
  EXPECT_EQ(more["plan"], plan);
  for (const Json& figures : more["runs"]) {
    EXPECT_EQ(figures["steps"], plan["steps"]);
    if (figures["seed"] == 0) {
      EXPECT_NE(std::find(results["runs"].begin(), results["runs"].end(), figures), results["runs"].end());
    }
  }
  const std::string other = std::to_string(steps + 1);
  expect_refusal(
      run("pe_study", arguments + " --seeds 0 --steps " + other),
      "study_minutes holds a study with steps = 600, not " + other + "; add --overwrite to replace it, or give");
}

TEST_F(Programs, StudyKeepsWhatIsGivenBesideMinutes) {
  const CommandResult result = run(
      "pe_study", study_arguments("study_given_minutes") + " --held-out-images 16 --frechet-images 8 --minutes 0.001");
  expect_success(result);
  const Json plan = read_json_file(file("study_given_minutes/results.json"))["plan"];
  const std::pair<const char*, int64_t> given[] = {{"tokenizer_steps", 3},  {"steps", 4},   {"train_images", 32},
                                                   {"held_out_images", 16}, {"samples", 1}, {"frechet_images", 8},
                                                   {"sampled_classes", 16}};
  for (const auto& [name, value] : given) { EXPECT_EQ(plan[name], value) << name; }
  EXPECT_NE(result.output.find("TOO SHORT: 4 steps of each transformer are fewer than 100, too few to compare "
                               "anything\n"),
            std::string::npos)
      << "more minutes would not give more steps: " << result.output;
  EXPECT_NE(result.output.find("; more than the 0:00 of --minutes: the machine was slower"), std::string::npos)
      << result.output;
}

TEST_F(Programs, StudyTakesATokenizerAndADataset) {
  expect_success(run("pe_study", file("data.h5") + " --tokenizer " + file("vqvae/checkpoint.h5") + kTinyTransformer +
                                     "--steps 2 --batch 4 --samples 1 --encodings sinusoid-2d@matched --out " +
                                     file("study_given")));
}

TEST_F(Programs, OptionsThatWouldDoNothingAreRefused) {
  const auto with = [](const std::string& more) { return run("train_var", var_arguments("x") + " " + more); };
  expect_refusal(with("--pe learned --pe-rms 0.1"), "--pe-rms has no effect: --pe learned has no fixed table");
  expect_refusal(with("--pe none --pe-scale 2"), "--pe-scale has no effect");
  expect_refusal(with("--pe sinusoid-1d --pe-mix 0.5"), "--pe-mix has no effect: it is for --pe mixed");
  expect_refusal(with("--pe mixed --pe-scale 2 --pe-rms 0.1"), "--pe-scale has no effect: --pe-rms sets");
}

TEST_F(Programs, AModelByNameGivesWhatIsNotGivenBesideIt) {
  expect_success(run("train_var", var_arguments("var_named") + " --model var-d36 --steps 1"));
  const Json var = read_json_file(file("var_named/run.json"))["configuration"];
  EXPECT_EQ(var["model"], "var-d36");
  EXPECT_EQ(var["shared-aln"], true);
  EXPECT_EQ(var["gamma-init"], 5e-6);
  EXPECT_EQ(var["depth"], 1);
  EXPECT_EQ(var["pe"], "mixed");
  expect_success(run("train_vqvae", vqvae_arguments("vqvae_named") + " --model vae-ch160v4096z32 --steps 1"));
  const Json vqvae = read_json_file(file("vqvae_named/run.json"))["configuration"];
  EXPECT_EQ(vqvae["num-res-blocks"], 2);
  EXPECT_EQ(vqvae["ch"], 8);
}

TEST_F(Programs, WithoutRoomNothingIsLeft) {
  write_file(file("occupied"), "a file");
  expect_refusal(run("train_var", var_arguments("occupied")), "occupied");
  const std::string out = file("full");
  const CommandResult result =
      run_command("bash -c \"ulimit -f 64; trap '' XFSZ; exec " + program_path("prepare_data").string() +
                  " procedural --count 4000 --out " + out + "/data.h5\"");
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_NE(result.output.find("cannot write"), std::string::npos) << result.output;
  EXPECT_FALSE(fs::exists(out + "/data.h5"));
}

TEST_F(Programs, ASplitValIsHeldOut) {
  ImageDatasetWriter writer(file("val.h5"), 32, 32, {"a"}, "a test");
  for (const char* split : {"train", "val"}) {
    writer.begin_split(split);
    for (int64_t i = 0; i < 8; ++i) { writer.append(generate_procedural(1, i, i), 0); }
  }
  writer.commit();
  expect_success(run("train_vqvae", "--data " + file("val.h5") + kTinyTokenizer +
                                        "--norm-groups 8 --steps 1 --batch 4 --init-iterations 0 --out " +
                                        file("vqvae_val")));
  EXPECT_EQ(read_json_file(file("vqvae_val/run.json"))["results"]["evaluated_split"], "val");
}

TEST_F(Programs, WrongArgumentsAreNamed) {
  expect_refusal(run("train_var", "--stepz 3"), "train_var: error: unknown option --stepz; did you mean --steps?");
  expect_refusal(run("train_var", "--model var-d17"), "--model must be one of var-32px,var-d16,");
  expect_refusal(run("train_vqvae", "--model vqgan"), "--model must be one of vqvae-32px,vae-ch160v4096z32");
  expect_refusal(run("pe_study", "--encodings learned,lerned --out " + file("x")), "lerned");
  expect_refusal(run("prepare_data", "images --size 32"), "FOLDER is missing");
  expect_refusal(run("prepare_data", "procedurel"), "did you mean procedural?");
  write_file(file("bad.json"), R"({"stepz": 3})");
  expect_refusal(run("train_vqvae", "--config " + file("bad.json")), "unknown key stepz; did you mean steps?");
}

TEST_F(Programs, WrongFilesAreNamed) {
  write_file(file("text.h5"), "not HDF5");
  const std::string whole = read_file(file("data.h5"));
  write_file(file("cut.h5"), whole.substr(0, whole.size() / 2));
  for (const char* name : {"missing.h5", "text.h5", "cut.h5", "vqvae/checkpoint.h5"}) {
    expect_refusal(run("train_vqvae", "--data " + file(name) + " --out " + file("x")), name);
  }
}

TEST_F(Programs, CtrlCEndsWith130AndLeavesNothingUnfinished) {
  const std::string out = file("interrupted");
  fs::create_directories(out);
  const CommandResult result =
      run_command("timeout --preserve-status -s INT 1.5 " + program_path("prepare_data").string() +
                  " procedural --count 10000000 --test-count 0 --out " + out + "/data.h5");
  EXPECT_EQ(result.status, 130) << result.output;
  EXPECT_EQ(files_in(out), 0);
}

TEST_F(Programs, TokensTrainWithoutTheirImages) {
  const std::string common = std::string(kTinyTransformer) + "--steps 4 --batch 4 --seed 0 ";
  const auto without_images = [&](const std::string& tokenizer, const std::string& more, const std::string& out) {
    return run("train_var", "--tokenizer " + file(tokenizer) + common + more + " --out " + file(out));
  };
  const std::string tokens = " --tokens " + file("var");
  expect_success(without_images("vqvae/checkpoint.h5", tokens, "from_tokens"));
  expect_success(without_images("vqvae/checkpoint.h5", tokens + " --data " + file("data.h5"), "from_images"));
  EXPECT_EQ(read_file(file("from_tokens/checkpoint.h5")), read_file(file("from_images/checkpoint.h5")));
  expect_refusal(without_images("vqvae/checkpoint.h5", "", "x"),
                 "--data is missing: an image dataset; or give --tokens");
  expect_success(run("train_vqvae", vqvae_arguments("other_vqvae") + " --seed 5"));
  expect_refusal(without_images("other_vqvae/checkpoint.h5", tokens, "x"),
                 "tokens-train.h5: was made with tokenizer = ");
  const std::string cache = read_file(file("var/tokens-train.h5"));
  expect_refusal(without_images("other_vqvae/checkpoint.h5", tokens + " --data " + file("data.h5"), "x"),
                 "--tokens: " + file("var/tokens-train.h5") + " was made with tokenizer = ");
  expect_success(run("prepare_data", "procedural --count 32 --test-count 16 --seed 4 --out " + file("other.h5")));
  expect_refusal(without_images("vqvae/checkpoint.h5", tokens + " --data " + file("other.h5"), "x"),
                 "--tokens: " + file("var/tokens-train.h5") + " was made with images = ");
  EXPECT_EQ(read_file(file("var/tokens-train.h5")), cache) << "another run may train on it";
}

TEST_F(Programs, WhatIsWrongWithTheModelIsSaidBeforeTokensAreMade) {
  const std::string common =
      "--data " + file("data.h5") + " --tokenizer " + file("vqvae") + " --threads 1 --out " + file("wrong_model");
  expect_refusal(run("train_var", common + " --embed-dim 130"), "embed_dim");
  expect_refusal(run("train_var", common + " --depth 1 --embed-dim 32 --heads 2 --init-from " + file("var")),
                 "--init-from " + file("var"));
  EXPECT_FALSE(fs::exists(file("wrong_model/tokens-train.h5")));
}

/// Every program that computes asks for the device before it opens a file.
TEST(ProgramsWithoutAGpu, SaySoInOneLine) {
  if (gpu()) { GTEST_SKIP() << "here is a GPU"; }
  const bool built = fs::exists(program_path("../lib/libterrace_cuda.so"));
  const char* reason = built ? "error: device cuda: cudaGetDeviceCount(&count) failed: "
                             : "error: device cuda: the CUDA backend is not available (libterrace_cuda.so: ";
  for (const char* command :
       {"prepare_data procedural --out x.h5", "train_vqvae --data x --out x",
        "train_var --data x --tokenizer x --out x", "sample --checkpoint x --tokenizer x --out x",
        "edit --checkpoint x --tokenizer x --image x --mask x --out x", "reconstruct --tokenizer x x --out x",
        "evaluate --fake x --real x", "inspect_pe x --out x", "run_fixture x --out x.h5", "pe_study --out x"}) {
    SCOPED_TRACE(command);
    expect_refusal(run_command(program_path("").string() + command + " --device cuda"), reason);
  }
}

}  // namespace
}  // namespace terrace
