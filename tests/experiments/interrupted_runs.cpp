// Runs of trainers that were killed, interrupted or cut: what is recorded of them, and how they are gone on with.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/experiments/curve_rows.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "var/training/option_json.h"
#include "var/training/var_train_options.h"
#include "var/training/vqvae_train_options.h"

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
    write_file(folder + "/run.json", checked_json_text(record));
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

TEST_F(Programs, MinutesAreAYearAtMost) {
  const std::pair<const char*, std::string> programs[] = {{"train_vqvae", vqvae_arguments("minutes")},
                                                          {"train_var", var_arguments("minutes")},
                                                          {"pe_study", study_arguments("minutes")}};
  for (const auto& [program, arguments] : programs) {
    for (const auto& [given, text] :
         {std::pair{"inf", "at most 525600, got inf"}, std::pair{"1e30", "at most 525600, got 1e+30"},
          std::pair{"525601", "at most 525600, got 525601"}, std::pair{"nan", "a number, got nan"},
          std::pair{"-1", "at least 0, got -1"}}) {
      const CommandResult refused = run(program, arguments + " --minutes " + given);
      EXPECT_EQ(refused.status, 2) << refused.output;
      EXPECT_EQ(refused.output, cat(program, ": error: --minutes must be ", text, "\n"));
    }
  }
  EXPECT_FALSE(fs::exists(file("minutes")));
}

/// What may not differ is named as it is given.
TEST_F(Programs, RefusalsOfResumeNameOptions) {
  const auto expect_options = [](const char* program, const auto& fields, const auto& of_model) {
    const std::string help = run(program, "--help").output;
    std::vector<std::string> names;
    for (const auto& field : fields) {
      if (field.name != std::string("warmup_start")) { names.push_back(option_name(field)); }  // has no option
    }
    for (const ModelOption& option : of_model) { names.emplace_back(option.option); }
    for (const std::string& name : names) { EXPECT_NE(help.find(" --" + name + " "), std::string::npos) << name; }
  };
  expect_options("train_var", kVarTrainFields, kVarModelOptions);
  expect_options("train_vqvae", kVqvaeTrainFields, kVqvaeModelOptions);
  expect_refusal(run("train_vqvae", vqvae_arguments("vqvae") + " --resume --l1 0.5 --edge 0.25 --ema 0.5"),
                 "/checkpoint.h5: was trained with l1 = 0.0, not 0.5; edge = 0.0, not 0.25; ema = 0.0, not 0.5; resume "
                 "with the same options");
  expect_refusal(run("train_vqvae", vqvae_arguments("vqvae") + " --resume --no-middle-attention"),
                 "/checkpoint.h5: holds a tokenizer of middle-attention = true, not false; resume with");
  const std::string var = var_arguments("var") + " --resume";
  expect_refusal(run("train_var", var + " --warmup 0.5"),
                 "/checkpoint.h5: was trained with warmup = 0.02, not 0.5; resume with the same options");
  expect_refusal(run("train_var", var + " --pe learned --gamma-init 0.5"),
                 "; pe = \"mixed\", not \"learned\"; resume with the same options");
  expect_success(run("train_var", var + " --evaluate-every 2"));
}

TEST_F(Programs, AResumedRunKeepsTheWeightsThatItBeganWith) {
  for (const auto& [program, name, arguments, steps] :
       {std::tuple{"train_vqvae", "vqvae", &vqvae_arguments, 4}, std::tuple{"train_var", "var", &var_arguments, 5}}) {
    SCOPED_TRACE(program);
    const std::string folder = file(cat(name, "_begun")), from = file(name) + "/checkpoint.h5";
    const std::string base = arguments(cat(name, "_begun")) + " --grid-images 0";
    expect_success(run(program, base + " --init-from " + from));
    const auto recorded = [&] { return read_json_file(folder + "/run.json")["configuration"]["init-from"]; };
    expect_refusal(run(program, base + " --resume --init-from other.h5"),
                   "--init-from: the run began with " + from +
                       ", not other.h5; --resume goes on from its checkpoint: "
                       "leave --init-from out");
    expect_success(run(program, cat(base, " --resume --steps ", steps)));
    EXPECT_EQ(recorded(), from) << "it was not given";
    expect_success(run(
        program, cat(base, " --resume --steps ", steps + 1, " --init-from ", file("."), "/", name, "/checkpoint.h5")));
    EXPECT_EQ(recorded(), from) << "the same file by another name";
    const std::string other = folder + "/checkpoint.h5";
    expect_refusal(run(program, arguments(name) + " --resume --init-from " + other),
                   "--init-from: the run began with random weights, not " + other + "; --resume goes on from");
    expect_refusal(run(program, arguments(name) + " --resume --init-from " + from),
                   from + " is a file that --init-from reads (" + from + "); an input is never written over");
  }
}

/// Interrupted where nearly all of the time is that of evaluations, with the signal looked at in their midst.
TEST_F(Programs, AnInterruptedEvaluationIsMadeUp) {
  expect_success(run("prepare_data", "procedural --count 48 --test-count 192 --out " + file("held_out.h5")));
  const std::string more = " --evaluate-every 1 --grid-images 2 --frechet-images 192 --data " + file("held_out.h5");
  for (const auto& [program, name, arguments] :
       {std::tuple{"train_vqvae", "vqvae", &vqvae_arguments}, std::tuple{"train_var", "var", &var_arguments}}) {
    SCOPED_TRACE(program);
    const std::string whole = file(cat(name, "_evaluated_whole")), part = file(cat(name, "_evaluated_part"));
    const std::string steps = " --steps 8" + more;
    expect_success(run(program, arguments(cat(name, "_evaluated_whole")) + steps));
    run_interrupted(program, arguments(cat(name, "_evaluated_part")) + steps + " --checkpoint-every 2", part);
    expect_success(run(program, arguments(cat(name, "_evaluated_part")) + steps + " --resume"));
    EXPECT_EQ(read_file(part + "/checkpoint.h5"), read_file(whole + "/checkpoint.h5"));
    EXPECT_EQ(timeless(part + "/curves.csv"), timeless(whole + "/curves.csv"));
    for (const std::string& distance : column(part + "/curves.csv", "frechet_distance")) { EXPECT_NE(distance, ""); }
    for (const std::string& seconds : column(part + "/curves.csv", "seconds_per_step")) { EXPECT_NE(seconds, ""); }
    for (const auto& entry : fs::directory_iterator(whole)) {
      if (entry.path().extension() != ".png") { continue; }
      const std::string picture = entry.path().filename().string();
      ASSERT_TRUE(fs::exists(part + "/" + picture)) << picture;
      EXPECT_EQ(read_file(part + "/" + picture), read_file(entry.path().string())) << picture;
    }
  }
}

}  // namespace
}  // namespace terrace
