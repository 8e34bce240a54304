// The folder of a study: gone on with, replaced on request alone, and no other program's.
#include <algorithm>
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/datasets/procedural.h"
#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/results.h"
#include "tests/experiments/programs.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// The files in the folder, relative to it and sorted, run.json left out.
Json files_below(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_regular_file() && name != "run.json") { names.push_back(name); }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json listed_in(const std::string& folder) {
  Json files = read_json_file(folder + "/run.json")["files"];
  std::sort(files.begin(), files.end());
  return files;
}

TEST_F(Programs, AStudyHasAFolderOfItsOwn) {
  // That of another program is left as it is.
  fs::copy(file("vqvae"), file("not_a_study"), fs::copy_options::recursive);
  const std::string taken = file("not_a_study");
  for (const char* option : {"", " --overwrite"}) {
    expect_refusal(run("pe_study", study_arguments("not_a_study") + option),
                   taken + " holds a run of train_vqvae, which pe_study does not replace; give another folder with");
  }
  EXPECT_EQ(files_below(taken), files_below(file("vqvae")));
  EXPECT_EQ(read_file(taken + "/curves.csv"), read_file(file("vqvae/curves.csv")));
  expect_success(run("train_vqvae", vqvae_arguments("not_a_study") + " --resume"));

  // From its first moment on it is no other program's, here of a study that stops for want of a test split.
  ImageDatasetWriter writer(file("no_test.h5"), 32, 32, {"a"}, "a test");
  writer.begin_split("train");
  for (int64_t i = 0; i < 4; ++i) { writer.append(generate_procedural(1, i, i), 0); }
  writer.commit();
  const std::string out = file("study_alone"), models = std::string(kTinyTokenizer) + kTinyTransformer;
  expect_refusal(run("pe_study", file("no_test.h5") + models + "--out " + out), "a study needs a split test or val");
  EXPECT_TRUE(read_json_file(out + "/run.json")["ended"].is_null());
  EXPECT_FALSE(listed_in(out).empty());
  for (const auto& [program, arguments] : {std::pair("train_vqvae", vqvae_arguments("study_alone")),
                                           std::pair("train_var", var_arguments("study_alone"))}) {
    for (const char* option : {"", " --resume", " --overwrite"}) {
      expect_refusal(run(program, arguments + option), out + " holds a run of pe_study, which " + program +
                                                           " does not replace; give another folder with --out");
    }
  }
  EXPECT_EQ(files_below(out), Json({"study.json"}));
}

TEST_F(Programs, AStudyIsGoneOnWithAndReplacedOnRequestAlone) {
  const std::string out = file("study_kept"), arguments = study_arguments("study_kept");
  expect_success(run("pe_study", arguments + " --seeds 0"));
  EXPECT_EQ(listed_in(out), files_below(out)) << "all of it and nothing else";
  EXPECT_TRUE(read_json_file(out + "/run.json")["ended"].is_string());

  // Those of earlier versions: a whole one whose run.json lists nothing, and a stopped one without run.json.
  Json record = read_json_file(out + "/run.json");
  record.erase("files");
  write_file(out + "/run.json", checked_json_text(record));
  fs::remove(out + "/runs/none-seed0/result.h5");
  expect_success(run("pe_study", arguments + " --seeds 0"));
  EXPECT_EQ(listed_in(out), files_below(out));
  for (const char* gone : {"run.json", "report.html", "curves.csv", "results.json"}) { fs::remove(out + "/" + gone); }
  fs::create_directories(out + "/runs/mine");
  write_file(out + "/runs/mine/checkpoint.h5", "mine");
  const CommandResult more = run("pe_study", study_arguments("study_kept") + " --seeds 1");
  expect_success(more);
  Json files = listed_in(out);
  files.push_back("runs/mine/checkpoint.h5");
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files, files_below(out)) << "the runs of seed 0 too";

  // What is refused changes nothing; --overwrite removes what is listed.
  const std::string before = read_file(out + "/run.json");
  expect_refusal(run("pe_study", arguments + " --lr 0.5"),
                 " holds a study with lr = 0.003, not 0.5; add --overwrite to replace it, or give another folder with");
  expect_refusal(run("pe_study", out + "/data.h5 --overwrite" + arguments),
                 out + "/data.h5 is a file that DATA reads (" + out + "/data.h5); an input is never written over");
  EXPECT_EQ(read_file(out + "/run.json"), before);
  expect_success(run("pe_study", arguments + " --seeds 0 --lr 0.5 --overwrite"));
  EXPECT_FALSE(fs::exists(out + "/runs/none-seed1"));
  EXPECT_EQ(read_file(out + "/runs/mine/checkpoint.h5"), "mine");
  EXPECT_EQ(read_json_file(out + "/study.json")["configuration"]["lr"], 0.5);
  EXPECT_FALSE(read_json_file(out + "/study.json")["configuration"].contains("overwrite"));
  EXPECT_EQ(listed_in(out).size() + 1, files_below(out).size());

  // What nobody can tell the origin of.
  fs::remove(out + "/study.json");
  expect_refusal(run("pe_study", arguments + " --seeds 0 --lr 0.5"),
                 out +
                     " holds data.h5 but no study.json that says what it was made with; add --overwrite to replace "
                     "what run.json lists, or give another folder with --out");
  for (const char* text : {"[]", R"({"configuration": 3})", R"({"configuration": {}, "plan": 3})"}) {
    write_file(out + "/study.json", text);
    expect_refusal(run("pe_study", arguments), out + "/study.json: not a study's file; give another folder with --out");
  }
}

TEST_F(Programs, AStudyNoticesDamageInWhatItGoesOnWith) {
  const std::string out = file("study_damaged"), arguments = study_arguments("study_damaged") + " --seeds 0";
  expect_success(run("pe_study", arguments));
  const std::string state = out + "/study.json", costs = out + "/tokenizer_costs.json", whole = read_file(state);
  std::string other = whole;
  const size_t at = other.find("\"steps\": 4");
  ASSERT_NE(at, std::string::npos) << whole;
  other[at + 9] = '5';
  write_file(state, other);
  expect_refusal(run("pe_study", arguments),
                 state +
                     ": it was edited or is damaged: its checksum differs (without its line \"checksum\" it is taken "
                     "as it stands); add --overwrite to replace the study, or give another folder with --out");
  write_file(state, whole.substr(0, 20));
  expect_refusal(run("pe_study", arguments), state + ": it is no valid JSON, or is cut off; add --overwrite");
  write_file(state, whole);

  std::string times = read_file(costs);
  const size_t digit = times.find_first_of("123456789");
  times[digit] = static_cast<char>(times[digit] ^ 1);
  write_file(costs, times);
  expect_error<ConfigError>([&] { read_costs(costs); },
                            costs +
                                ": it was edited or is damaged: its checksum differs (without its line \"checksum\" "
                                "it is taken as it stands); remove it to go on without the times that it keeps");
  write_file(costs, checked_json_text({{"seconds", "long"}}));
  expect_error<IoError>([&] { read_costs(costs); },
                        costs + ": not the times of a run; remove it to go on without them");

  // What is in HDF5 is checked by data/hdf5.
  const std::string result = out + "/runs/none-seed0/result.h5", bytes = read_file(result);
  write_file(result, with_flipped_bit(bytes, bytes.find("held_out_loss") * 8));
  const CommandResult damaged = run("pe_study", arguments);
  EXPECT_EQ(damaged.status, 2);
  EXPECT_NE(damaged.output.find("pe_study: error: cannot read " + result + ": damaged: bytes ["), std::string::npos)
      << damaged.output;
}

}  // namespace
}  // namespace terrace
