// Every program at toy size, from generated images to samples and reports; and what all of them do with bad input.
#include <algorithm>
#include <fstream>

#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/support.h"
#include "var/positions/encodings.h"

namespace terrace {
namespace {

constexpr const char* kTokenizer =
    " --ch 8 --ch-mult 1,1,1 --norm-groups 4 --z-channels 4 --vocab 16 --patch-nums 1,2,8 --batch 8 --steps 4"
    " --evaluate-images 8 --no-attention --no-middle-attention";
constexpr const char* kTransformer = " --depth 1 --embed-dim 16 --heads 2 --batch 8 --evaluate-images 8 --log-every 1";

/// A data set, a tokenizer and a transformer that the tests share, made once.
class Pipeline : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    run("prepare_data procedural --count 48 --test-count 16 --out " + file("data.h5"));
    run("train_vqvae --data " + file("data.h5") + " --out " + file("tokenizer") + kTokenizer);
    run(train_var("var", 4));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string file(const std::string& name) { return *folder_ / name; }
  static CommandResult start(const std::string& command) {
    return run_command((program_path("").string()) + command + " < /dev/null");
  }
  /// Runs a program that must succeed.
  static std::string run(const std::string& command) {
    const CommandResult result = start(command);
    EXPECT_EQ(result.status, 0) << command << "\n" << result.output;
    return result.output;
  }
  static std::string train_var(const std::string& out, int steps, const std::string& more = "") {
    return cat("train_var --data ", file("data.h5"), " --tokenizer ", file("tokenizer/checkpoint.h5"), " --out ",
               file(out), kTransformer, " --steps ", steps, " ", more);
  }
  static bool exists(const std::string& name) { return std::filesystem::exists(file(name)); }

  /// Fails with status 2 and one line that holds `text`.
  static void expect_refusal(const std::string& command, const std::string& text) {
    const CommandResult result = start(command);
    EXPECT_EQ(result.status, 2) << command << "\n" << result.output;
    EXPECT_NE(result.output.find(text), std::string::npos) << command << "\n" << result.output;
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << command << "\n" << result.output;
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* Pipeline::folder_ = nullptr;

TEST_F(Pipeline, TrainingLeavesItsFiles) {
  for (const char* name : {"data.h5", "tokenizer/checkpoint.h5", "tokenizer/curves.csv", "tokenizer/recon.png",
                           "tokenizer/run.json", "var/checkpoint.h5", "var/curves.csv", "var/run.json"}) {
    EXPECT_TRUE(exists(name)) << name;
  }
  const Json record = read_json_file(file("var/run.json"));
  EXPECT_EQ(record["program"], "train_var");
  EXPECT_EQ(record["seed"], 0);
  EXPECT_EQ(record["configuration"]["steps"], 4);
  EXPECT_EQ(record["results"]["steps"], 4);
}

TEST_F(Pipeline, EveryEncodingTrains) {
  for (const std::string& pe : encoding_names()) {
    run(train_var(cat("var-", pe), 2, cat("--pe ", pe)));
    EXPECT_TRUE(exists(cat("var-", pe, "/checkpoint.h5"))) << pe;
  }
}

TEST_F(Pipeline, OneSeedGivesOneCheckpoint) {
  run(train_var("again", 4));
  EXPECT_EQ(read_file(file("again/checkpoint.h5")), read_file(file("var/checkpoint.h5")));
  run(train_var("other", 4, "--seed 1"));
  EXPECT_NE(read_file(file("other/checkpoint.h5")), read_file(file("var/checkpoint.h5")));
}

TEST_F(Pipeline, SamplesAreDrawnAndRepeatable) {
  const std::string sample = "sample --checkpoint " + file("var/checkpoint.h5") + " --tokenizer " +
                             file("tokenizer/checkpoint.h5") + " --classes 0,3 --count 2 --out ";
  run(sample + file("samples"));
  run(sample + file("samples-again") + " --batch 1");
  EXPECT_TRUE(exists("samples/grid.png"));
  EXPECT_EQ(read_file(file("samples/grid.png")), read_file(file("samples-again/grid.png")))
      << "an image depends on its own seed, not on the batch";
}

TEST_F(Pipeline, TablesAreInspected) {
  run("inspect_pe " + file("var/checkpoint.h5") + " --out " + file("inspect"));
  const std::string page = read_file(file("inspect/inspect.html"));
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_TRUE(exists("inspect/inspect.json"));
}

TEST_F(Pipeline, TheStudyWritesItsReport) {
  run("pe_study " + file("data.h5") +
      " --encodings learned,sinusoid-2d --tokenizer-steps 3 --steps 3 --tokenizer-batch 8" +
      " --ch 8 --ch-mult 1,1,1 --z-channels 4 --vocab 16 --patch-nums 1,2,8 --depth 1 --embed-dim 16 --heads 2 --batch "
      "8" +
      " --samples 1 --out " + file("study"));
  for (const char* name : {"report.html", "results.json", "curves.csv", "run.json"}) {
    EXPECT_TRUE(exists(cat("study/", name))) << name;
  }
  const std::string page = read_file(file("study/report.html"));
  EXPECT_EQ(page.find("src=\"http"), std::string::npos) << "the report needs no network";
  EXPECT_NE(page.find("data:image/png;base64,"), std::string::npos);
}

TEST_F(Pipeline, AnInterruptedStudySaysHowItGoesOn) {
  const std::string arguments =
      " --encodings learned --tokenizer-steps 100000 --tokenizer-batch 4 --ch 8 --ch-mult 1,1,1 --z-channels 4"
      " --vocab 16 --patch-nums 1,2,8 --depth 1 --embed-dim 16 --heads 2 --samples 1 --out ";
  const CommandResult stopped = run_command("timeout --preserve-status -s INT 3 " + program_path("pe_study").string() +
                                            " " + file("data.h5") + arguments + file("study_stopped"));
  EXPECT_EQ(stopped.status, 130) << stopped.output;
  EXPECT_NE(stopped.output.find(
                "pe_study: interrupted; the same command, without --overwrite, goes on where the study was\n"),
            std::string::npos)
      << stopped.output;
}

TEST_F(Pipeline, HelpIsThere) {
  for (const char* program :
       {"prepare_data", "train_vqvae", "train_var", "sample", "pe_study", "inspect_pe", "run_fixture"}) {
    EXPECT_NE(run(cat(program, " --help")).find("--out"), std::string::npos) << program;
  }
  for (const char* program : {"prepare_data cifar100", "prepare_data images", "prepare_data procedural",
                              "prepare_data info", "prepare_data preview", "train_vqvae", "train_var", "sample", "edit",
                              "reconstruct", "evaluate", "convert_weights", "pe_study", "inspect_pe", "run_fixture"}) {
    const std::string help = run(cat(program, " --help"));
    EXPECT_EQ(help.find(" TEXT"), std::string::npos) << "say what it is (Option::metavar): " << help;
  }
  const std::string edit = run("edit --help");
  for (const char* option : {"--image FILE ", "--checkpoint FILE|FOLDER ", "--box X0,Y0,X1,Y1 ", "--class NAME ",
                             "--dtype NAME ", "--out FOLDER "}) {
    EXPECT_NE(edit.find(option), std::string::npos) << option << edit;
  }
}

TEST_F(Pipeline, BadInputIsOneLineAndLeavesNothing) {
  expect_refusal(train_var("x", 4, "--stepz 3"), "stepz");
  expect_refusal(train_var("x", 4, "--pe astrology"), "astrology");
  expect_refusal("train_vqvae --data " + file("missing.h5") + " --out " + file("x"), "missing.h5");
  std::ofstream(file("foreign.h5")) << "this is not HDF5";
  expect_refusal("train_vqvae --data " + file("foreign.h5") + " --out " + file("x"), "foreign.h5");
  std::filesystem::copy_file(file("data.h5"), file("short.h5"));
  std::filesystem::resize_file(file("short.h5"), std::filesystem::file_size(file("short.h5")) / 2);
  expect_refusal("train_vqvae --data " + file("short.h5") + " --out " + file("x"), "short.h5");
  expect_refusal("inspect_pe " + file("data.h5") + " --out " + file("x"), "data.h5");
  std::ofstream(file("config.json")) << R"({"steps": 3, "stepz": 4})";
  expect_refusal(train_var("x", 4, "--config " + file("config.json")), "stepz");
  expect_refusal(train_var("x", 4, "--device cuda"), "cuda");
  EXPECT_FALSE(exists("x/checkpoint.h5"));
}

TEST_F(Pipeline, InterruptEndsWith130) {
  // A shell without job control starts background children with SIGINT ignored; timeout(1) delivers it.
  const CommandResult result =
      run_command("timeout --preserve-status --signal=INT 3 " + program_path("").string() +
                  train_var("stopped", 1000000, "--threads 1 --tokens " + file("var")) + " < /dev/null");
  EXPECT_EQ(result.status, 130) << result.output;
  EXPECT_NE(result.output.find("add --resume to the same command"), std::string::npos) << result.output;
  EXPECT_TRUE(exists("stopped/checkpoint.h5"));
  const std::string curves = read_file(file("stopped/curves.csv"));
  EXPECT_TRUE(curves.starts_with("step,") && curves.ends_with("\n"));
}

}  // namespace
}  // namespace terrace
