// What the tests of whole programs share: toy options, and a dataset, a tokenizer and a transformer made by them.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/support.h"

namespace terrace {

inline constexpr const char* kTinyTokenizer =
    " --threads 1 --ch 8 --ch-mult 1,1,1,2 --patch-nums 1,2,4 --z-channels 4 --vocab 16 ";
inline constexpr const char* kTinyTransformer = " --threads 1 --depth 1 --embed-dim 16 --heads 2 ";

inline CommandResult run(const std::string& program, const std::string& arguments) {
  return run_command(program_path(program).string() + " " + arguments);
}

inline void expect_success(const CommandResult& result) { EXPECT_EQ(result.status, 0) << result.output; }

/// Status 2 and one line that holds `text`.
inline void expect_refusal(const CommandResult& result, const std::string& text) {
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_NE(result.output.find(text), std::string::npos) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
}

/// Files beside which something was being written: none may stay.
inline int64_t files_in(const std::string& folder) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    count += entry.is_regular_file() ? 1 : 0;
  }
  return count;
}

/// Starts a program in the background, and runs `script` once `file` is there, however long the machine took to get
/// there; in it the process is %1. Signals have their default action in the program.
inline CommandResult run_in_background(const std::string& program, const std::string& arguments,
                                       const std::string& file, const std::string& script) {
  return run_command("env --default-signal bash -c 'set -m; " + program_path(program).string() + " " + arguments +
                     " & for i in $(seq 6000); do [ -e " + file + " ] && break; sleep 0.01; done; " + script + "'");
}

/// A training that is interrupted once it is under way, its first checkpoint written.
inline void run_interrupted(const std::string& program, const std::string& arguments, const std::string& folder,
                            const std::string& signal = "INT") {
  const CommandResult stopped =
      run_in_background(program, arguments, folder + "/checkpoint.h5", "kill -" + signal + " %1; wait %1");
  EXPECT_EQ(stopped.status, 130) << stopped.output;
  EXPECT_NE(stopped.output.find("add --resume to the same command"), std::string::npos) << stopped.output;
  EXPECT_TRUE(std::filesystem::exists(folder + "/checkpoint.h5"));
}

/// A dataset, a tokenizer and a transformer that all tests of the suite use; made once, by the programs.
class Programs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    expect_success(run("prepare_data", "procedural --count 48 --test-count 16 --out " + file("data.h5")));
    expect_success(run("train_vqvae", vqvae_arguments("vqvae")));
    expect_success(run("train_var", var_arguments("var")));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return *folder_ / name; }
  static std::string vqvae_arguments(const std::string& out) {
    return "--data " + file("data.h5") + kTinyTokenizer +
           "--norm-groups 8 --steps 3 --batch 4 --init-iterations 1 --evaluate-images 8 --out " + file(out);
  }
  static std::string var_arguments(const std::string& out) {
    return "--data " + file("data.h5") + " --tokenizer " + file("vqvae/checkpoint.h5") + kTinyTransformer +
           "--pe mixed --steps 4 --batch 4 --log-every 1 --evaluate-images 8 --out " + file(out);
  }
  static std::string study_arguments(const std::string& out) {
    return kTinyTokenizer + std::string(kTinyTransformer) +
           "--train-images 32 --held-out-images 16 --tokenizer-steps 3 --tokenizer-batch 4 --steps 4 --batch 4 "
           "--samples 1 "
           "--encodings learned,none --out " +
           file(out);
  }
  inline static TemporaryFolder* folder_ = nullptr;
};

}  // namespace terrace
