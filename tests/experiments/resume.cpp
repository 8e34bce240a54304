// Runs that are stopped, resumed and finished.
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "data/images/image_file.h"
#include "experiments/cli/run_record.h"
#include "tests/experiments/curve_rows.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "var/training/stored_position.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// As curves.csv writes it.
std::string curve_number(double value) {
  std::ostringstream out;
  out.precision(7);
  out << value;
  return out.str();
}

int64_t step_of(const std::string& checkpoint) { return stored_position(checkpoint).value().step; }

TEST_F(Programs, AResumedRunKeepsItsTimesAndItsCourse) {
  const std::string record = read_file(file("var/run.json"));
  const Json before = Json::parse(record);
  EXPECT_EQ(before["results"]["held_out_images"], 16) << "the last loss is over the whole split, whatever the curve's";
  EXPECT_EQ(before["results"]["held_out_split"], "test");
  const std::string checkpoint = read_file(file("var/checkpoint.h5")), curves = read_file(file("var/curves.csv"));
  const CommandResult again = run("train_var", var_arguments("var") + " --resume");
  expect_success(again);
  EXPECT_EQ(again.output, cat("nothing is left to do: ", file("var/checkpoint.h5"), " has all ",
                              before["results"]["steps"], " steps; a larger --steps goes on\n"));
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
  const std::string differs = file("var_long") + "/checkpoint.h5: was trained with lr = 0.001, not 0.002; resume with";
  expect_refusal(run("train_var", arguments + " --resume --lr 0.002"), differs);
  expect_refusal(run("train_var", arguments + " --resume --steps 1"), " steps already, more than steps = 1");
}

TEST_F(Programs, AFinishedTokenizerHasNothingLeftToDo) {
  const std::string record = read_file(file("vqvae/run.json")), checkpoint = read_file(file("vqvae/checkpoint.h5"));
  const CommandResult again = run("train_vqvae", vqvae_arguments("vqvae") + " --resume");
  expect_success(again);
  EXPECT_EQ(again.output, cat("nothing is left to do: ", file("vqvae/checkpoint.h5"), " has all ",
                              Json::parse(record)["results"]["steps"], " steps; a larger --steps goes on\n"));
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
  EXPECT_EQ(column(file("var_evaluated/curves.csv"), "frechet_distance").back(),
            curve_number(frechet["samples"].get<double>()));
  EXPECT_EQ(read_file(file("var_evaluated/checkpoint.h5")), read_file(file("var/checkpoint.h5")));
  const CommandResult one = run("train_var", var_arguments("var_one") + " --frechet-images 1");
  EXPECT_EQ(one.status, 2);
  EXPECT_NE(one.output.find("a Frechet distance needs two images or more, got 1"), std::string::npos) << one.output;

  const CommandResult vqvae =
      run("train_vqvae", vqvae_arguments("vqvae_evaluated") + " --frechet-images 6 --evaluate-every 2");
  expect_success(vqvae);
  EXPECT_NE(vqvae.output.find(" of the reconstructions of 6 images"), std::string::npos) << vqvae.output;
  const Json results = read_json_file(file("vqvae_evaluated/run.json"))["results"];
  EXPECT_GT(results["frechet"]["reconstructions"].get<double>(), 0);
  const std::vector<std::string> distances = column(file("vqvae_evaluated/curves.csv"), "frechet_distance");
  ASSERT_EQ(distances.size(), 2u);
  EXPECT_GT(std::stod(distances[0]), 0);
  EXPECT_EQ(distances[1], curve_number(results["frechet"]["reconstructions"].get<double>()));
  EXPECT_EQ(read_state(Hdf5File::open(file("vqvae_evaluated/checkpoint.h5")), "model").size(),
            read_state(Hdf5File::open(file("vqvae/checkpoint.h5")), "model").size());
  for (const auto& [name, value] : read_state(Hdf5File::open(file("vqvae/checkpoint.h5")), "model")) {
    EXPECT_SAME(value, Hdf5File::open(file("vqvae_evaluated/checkpoint.h5")).read("model/" + name)) << name;
  }
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

/// Killed without notice after some checkpoints, and gone on with.
TEST_F(Programs, CurvesOfAKilledRunHaveEachRowOnce) {
  const auto vqvae = [](const char* out) {
    return vqvae_arguments(out) +
           " --steps 300 --checkpoint-every 20 --log-every 3 --evaluate-every 50 --grid-images 2";
  };
  const auto var = [](const char* out) {
    return var_arguments(out) + " --steps 1000 --checkpoint-every 20 --log-every 3 --evaluate-every 50 --grid-images 2";
  };
  for (const auto& [program, through, killed] :
       {std::tuple{"train_vqvae", vqvae("vqvae_unkilled"), vqvae("vqvae_killed")},
        std::tuple{"train_var", var("var_unkilled"), var("var_killed")}}) {
    SCOPED_TRACE(program);
    const std::string whole = file(program == std::string("train_var") ? "var_unkilled" : "vqvae_unkilled");
    const std::string folder = file(program == std::string("train_var") ? "var_killed" : "vqvae_killed");
    expect_success(run(program, through));
    run_command("bash -c 'set -m; " + program_path(program).string() + " " + killed +
                " & for i in $(seq 6000); do [ -e " + folder +
                "/checkpoint.h5 ] && break; sleep 0.01; done; kill -KILL %1; wait %1'");
    const int64_t reached = step_of(folder + "/checkpoint.h5");
    EXPECT_LT(reached, step_of(whole + "/checkpoint.h5")) << "it had been stopped before its end";
    const size_t rows_before = csv_rows(folder + "/curves.csv").size();
    EXPECT_GT(rows_before, 1u) << "curves are written as the training goes";
    expect_success(run(program, killed + " --resume"));
    EXPECT_EQ(read_file(folder + "/checkpoint.h5"), read_file(whole + "/checkpoint.h5"));
    EXPECT_EQ(timeless(folder + "/curves.csv"), timeless(whole + "/curves.csv"));
    for (const std::string& seconds : column(folder + "/curves.csv", "seconds_per_step")) { EXPECT_NE(seconds, ""); }
    const std::string lines = read_file(folder + "/curves.jsonl");
    EXPECT_EQ(static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n')) + 1,
              csv_rows(folder + "/curves.csv").size());
  }
}

TEST_F(Programs, TrainersReplaceNoRunUnasked) {
  const std::string folder = file("var_kept");
  expect_success(run("train_var", var_arguments("var_kept")));
  EXPECT_TRUE(fs::exists(folder + "/samples-000004.png"));
  write_file(folder + "/notes.txt", "mine");
  const std::string checkpoint = read_file(folder + "/checkpoint.h5"), curves = read_file(folder + "/curves.csv");
  const std::string refusal =
      " and has reached step 4 of 4; add --resume to go on with it, --overwrite to replace it, or "
      "give another folder with --out";
  const CommandResult refused = run("train_var", var_arguments("var_kept"));
  expect_refusal(refused, refusal);
  EXPECT_NE(refused.output.find(folder + " holds a run of train_var that ended "), std::string::npos);
  // Before anything else: also where the data are missing.
  expect_refusal(run("train_var", "--tokenizer none.h5 --data none.h5 --out " + folder), refusal);
  EXPECT_EQ(read_file(folder + "/checkpoint.h5"), checkpoint);
  EXPECT_EQ(read_file(folder + "/curves.csv"), curves);
  expect_refusal(run("train_var", var_arguments("var_kept") + " --resume --overwrite"), "give one of them");
  expect_refusal(run("train_vqvae", vqvae_arguments("var_kept") + " --overwrite"), " holds a run of train_var, which ");
  expect_refusal(run("train_var", "--tokenizer none.h5 --data none.h5 --overwrite --out " + folder), "none.h5");
  EXPECT_EQ(read_file(folder + "/checkpoint.h5"), checkpoint) << "what cannot begin removes nothing";

  expect_success(run("train_var", var_arguments("var_kept") + " --overwrite --steps 2"));
  EXPECT_EQ(csv_rows(folder + "/curves.csv").size(), 3u);
  EXPECT_FALSE(fs::exists(folder + "/samples-000004.png")) << "a file of the run that was replaced";
  EXPECT_TRUE(fs::exists(folder + "/samples-000002.png"));
  EXPECT_EQ(read_file(folder + "/notes.txt"), "mine");
  EXPECT_TRUE(fs::exists(folder + "/tokens-train.h5"));

  expect_refusal(run("train_vqvae", vqvae_arguments("vqvae")),
                 file("vqvae") + " holds a run of train_vqvae that ended ");
  expect_refusal(run("train_vqvae", vqvae_arguments("vqvae")), " and has reached step 3 of 3; add --resume");
  // A run of which an earlier version, or a kill before the first record, left a checkpoint alone.
  fs::create_directories(file("bare"));
  fs::copy_file(file("vqvae/checkpoint.h5"), file("bare/checkpoint.h5"));
  expect_refusal(run("train_vqvae", vqvae_arguments("bare")),
                 "bare/checkpoint.h5 is there already and no run.json lists it (its run has reached step 3 of 3); add "
                 "--resume to go on with its run");
  expect_refusal(
      run("train_var", var_arguments("var_none_yet") + " --resume"),
      file("var_none_yet/checkpoint.h5") + " does not exist, so there is nothing to go on from; leave --resume");
}

TEST_F(Programs, AFinishedRunIsExtendedAndSaysWhatTheScheduleDoes) {
  for (const auto& [program, name, arguments, steps] :
       {std::tuple{"train_vqvae", "vqvae", vqvae_arguments("vqvae_longer"), 3},
        std::tuple{"train_var", "var", var_arguments("var_longer"), 4}}) {
    SCOPED_TRACE(program);
    const std::string folder = file(cat(name, "_longer"));
    fs::copy(file(name), folder);
    const Rows before = timeless(folder + "/curves.csv");
    const CommandResult longer = run(program, cat(arguments, " --resume --steps ", steps + 5));
    expect_success(longer);
    EXPECT_NE(longer.output.find(cat("steps = ", steps + 5, ", not ", steps,
                                     " as before: the rest of the learning-rate schedule is recomputed, the rate goes "
                                     "from ")),
              std::string::npos)
        << longer.output;
    EXPECT_NE(longer.output.find(cat(" at step ", steps, " to ")), std::string::npos) << longer.output;
    EXPECT_EQ(step_of(folder + "/checkpoint.h5"), steps + 5);
    EXPECT_FALSE(read_json_file(folder + "/run.json")["configuration"].contains("resume"))
        << "a run repeated by --config run.json begins anew";
    Rows after = timeless(folder + "/curves.csv");
    EXPECT_EQ(after.back()[0], cat(steps + 5));
    after.resize(before.size());
    EXPECT_EQ(after, before);
    // Without --steps a run goes on to the end that it had.
    const std::string without =
        arguments.substr(0, arguments.find("--steps")) + arguments.substr(arguments.find("--batch"));
    const CommandResult again = run(program, without + " --resume");
    expect_success(again);
    EXPECT_NE(again.output.find(cat(" has all ", steps + 5, " steps")), std::string::npos) << again.output;
    EXPECT_EQ(read_json_file(folder + "/run.json")["configuration"]["steps"], steps + 5);
  }
}

TEST_F(Programs, TrainersStartFromWeights) {
  // AdamW's first step moves a weight by the learning rate: where the largest of a tensor is 1e-4 or more, by 1e-5 of
  // it.
  const std::string still = " --steps 1 --lr 1e-9 --warmup 0";
  expect_success(run("train_vqvae", vqvae_arguments("vqvae_init") + still + " --weight-decay 0 --init-from " +
                                        file("vqvae/checkpoint.h5")));
  EXPECT_EQ(step_of(file("vqvae_init/checkpoint.h5")), 1);
  const auto expect_near = [&](const std::string& a, const std::string& b) {
    const State here = read_state(Hdf5File::open(file(a)), "model");
    for (const auto& [name, value] : read_state(Hdf5File::open(file(b)), "model")) {
      if (name.find("ema_vocab_hit") == std::string::npos && name != "lvl_1L") {
        EXPECT_CLOSE(here.at(name), value, 1e-5) << name;
      }
    }
  };
  expect_near("vqvae_init/checkpoint.h5", "vqvae/checkpoint.h5");
  expect_success(run("convert_weights", file("var/checkpoint.h5") + " " + file("weights.safetensors")));
  for (const char* from : {"weights.safetensors", "var"}) {
    const std::string out = cat("var_init_", from[0], from[1], from[2]);
    expect_success(run("train_var", var_arguments(out) + still + " --weight-decay 0 --init-from " + file(from)));
    expect_near(out + "/checkpoint.h5", "var/checkpoint.h5");
  }
  const auto refused = [](const std::string& out, const std::string& more, const std::string& text) {
    const CommandResult result = run("train_var", var_arguments(out) + " --tokens " + file("var") + more);
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.output.find(text), std::string::npos) << result.output;
  };
  refused("var_wide", " --embed-dim 32 --init-from " + file("var"), "pos_start is (1, 1, 16), not (1, 1, 32)");
  EXPECT_FALSE(fs::exists(file("var_wide/run.json"))) << "nothing was begun";
  expect_refusal(run("train_vqvae", vqvae_arguments("vqvae_none") + " --init-from " + file("none.h5")), "none.h5");
  refused("var_none", " --init-from " + file("vqvae/checkpoint.h5"), "is of kind 'vqvae', expected 'var'");
}

TEST_F(Programs, MinutesPlanTheStepsOrCutThem) {
  const auto without_steps = [](const std::string& arguments) {
    return arguments.substr(0, arguments.find("--steps")) + arguments.substr(arguments.find("--batch"));
  };
  for (const auto& [program, arguments, folder] :
       {std::tuple{"train_vqvae", vqvae_arguments("vqvae_minutes"), file("vqvae_minutes")},
        std::tuple{"train_var", var_arguments("var_minutes") + " --log-every 1000", file("var_minutes")}}) {
    SCOPED_TRACE(program);
    const std::string quick = " --grid-images 0 --minutes 0.03";
    const CommandResult planned = run(program, without_steps(arguments) + quick);
    expect_success(planned);
    // Images become tokens before the time begins; said once, where there are tokens to make.
    const std::string note =
        "the images are turned into tokens first, which is no part of the 0.03 minutes of --minutes\n";
    const bool makes_tokens = std::string(program) == "train_var";
    EXPECT_EQ(planned.output.find(note) != std::string::npos, makes_tokens) << planned.output;
    EXPECT_EQ(planned.output.rfind(note), planned.output.find(note)) << planned.output;
    EXPECT_NE(planned.output.find(" steps are planned for 0.03 minutes, "), std::string::npos) << planned.output;
    const StoredPosition first = stored_position(folder + "/checkpoint.h5").value();
    EXPECT_EQ(first.step, first.steps) << "the schedule came to its end";
    const Json record = read_json_file(folder + "/run.json");
    EXPECT_EQ(record["results"]["steps"], first.step);
    EXPECT_FALSE(record["configuration"].contains("steps")) << "repeated from its record it is planned again";
    // Another such call adds to it.
    const CommandResult more = run(program, without_steps(arguments) + quick + " --resume");
    expect_success(more);
    EXPECT_EQ(more.output.find(note), std::string::npos) << "they are there: " << more.output;
    EXPECT_NE(more.output.find("learning-rate schedule is recomputed"), std::string::npos) << more.output;
    const StoredPosition second = stored_position(folder + "/checkpoint.h5").value();
    EXPECT_GT(second.step, first.step);
    EXPECT_EQ(second.step, second.steps);
    // With a number of steps their schedule stands; the end of the time is a stop, and no failure.
    const CommandResult cut = run(program, arguments + " --steps 10000000 --resume" + quick);
    expect_success(cut);
    EXPECT_NE(cut.output.find("stopped after 0.03 minutes at step "), std::string::npos) << cut.output;
    EXPECT_NE(cut.output.find(" of 10000000; add --resume"), std::string::npos) << cut.output;
    const StoredPosition third = stored_position(folder + "/checkpoint.h5").value();
    EXPECT_GT(third.step, second.step);
    EXPECT_EQ(third.steps, 10000000);
    const Json stopped = read_json_file(folder + "/run.json");
    EXPECT_EQ(stopped["results"]["steps"], third.step);
    EXPECT_TRUE(stopped["ended"].is_null()) << "it has not come to its end";
    expect_refusal(run(program, arguments + quick), folder + " holds an unfinished run of " + program);
    const std::string steps = cat(" --resume --steps ", third.step + 3);
    expect_success(run(program, arguments + steps + " --grid-images 0"));
    EXPECT_EQ(step_of(folder + "/checkpoint.h5"), third.step + 3);
    EXPECT_TRUE(read_json_file(folder + "/run.json")["ended"].is_string());
  }
}

TEST_F(Programs, EveryEvaluationLeavesAPicture) {
  const CommandResult vqvae = run("train_vqvae", vqvae_arguments("vqvae_seen") + " --evaluate-every 2 --grid-images 5");
  expect_success(vqvae);
  EXPECT_NE(vqvae.output.find("step 2: PSNR "), std::string::npos) << vqvae.output;
  EXPECT_EQ(vqvae.output.find("step 3: PSNR "), std::string::npos) << "the result says it: " << vqvae.output;
  EXPECT_NE(vqvae.output.find("\nPSNR "), std::string::npos) << vqvae.output;
  EXPECT_NE(vqvae.output.find("\nperplexity of the codes per scale: "), std::string::npos) << vqvae.output;
  EXPECT_EQ(column(file("vqvae_seen/curves.csv"), "step"), (std::vector<std::string>{"2", "3"}));
  for (const std::string& psnr : column(file("vqvae_seen/curves.csv"), "held_out_psnr")) { EXPECT_NE(psnr, ""); }
  // Five originals, the five reconstructions below them: 32 px at twice their size, 2 px between them.
  for (const char* name : {"recon-000002.png", "recon-000003.png", "recon.png"}) {
    EXPECT_EQ(read_image(file("vqvae_seen/") + name).shape(), (Shape{2 * 64 + 2, 5 * 64 + 4 * 2, 3})) << name;
  }
  EXPECT_EQ(read_file(file("vqvae_seen/recon-000003.png")), read_file(file("vqvae_seen/recon.png")));

  const std::string seen = var_arguments("var_seen") + " --evaluate-every 2 --grid-images 9";
  const CommandResult var = run("train_var", seen);
  expect_success(var);
  EXPECT_NE(var.output.find("step 2: held-out loss "), std::string::npos) << var.output;
  EXPECT_EQ(read_image(file("var_seen/samples-000002.png")).dim(0), 2 * (96 + 2 * 9 + 2) + 6)
      << "two rows of eight images at 96 px, each above the two lines of its class's name";
  const Json files = read_json_file(file("var_seen/run.json"))["files"];
  EXPECT_NE(std::find(files.begin(), files.end(), "samples-000004.png"), files.end()) << files;
  expect_success(run("train_var", var_arguments("var_unseen") + " --evaluate-every 2 --grid-images 0"));
  EXPECT_EQ(read_file(file("var_seen/checkpoint.h5")), read_file(file("var_unseen/checkpoint.h5")));
  EXPECT_FALSE(fs::exists(file("var_unseen/samples-000004.png")));
}

TEST_F(Programs, RedirectedOutputIsPlainLinesWithOneLastOfProgress) {
  const CommandResult result = run("train_vqvae", vqvae_arguments("vqvae_plain"));
  expect_success(result);
  EXPECT_EQ(result.output.find_first_of("\r\033"), std::string::npos) << result.output;
  EXPECT_EQ(result.output.find("tokenizer  100%  3/3 steps"), result.output.rfind("tokenizer  100%  3/3 steps"));
  EXPECT_NE(result.output.find(" steps/s  in 0:"), std::string::npos) << result.output;
}

TEST_F(Programs, HelpOfTrainersUsesTheTermsOfTheField) {
  for (const char* program : {"train_vqvae", "train_var"}) {
    std::string help = run(program, "--help").output;
    std::replace(help.begin(), help.end(), '\n', ' ');
    help.erase(std::unique(help.begin(), help.end(), [](char a, char b) { return a == ' ' && b == ' '; }), help.end());
    for (const char* text : {"an epoch is (training images / batch) steps", "learning-rate schedule", "AdamW's beta1",
                             "--init-from", "--overwrite", "wall-clock minutes"}) {
      EXPECT_NE(help.find(text), std::string::npos) << program << " " << text;
    }
  }
}

}  // namespace
}  // namespace terrace
