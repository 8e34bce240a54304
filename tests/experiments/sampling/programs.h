// What the tests of sample, edit and reconstruct share: toy models made by the programs, and how these are run.
#pragma once

#include <filesystem>
#include <string>

#include "data/datasets/procedural.h"
#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "tests/support.h"

namespace terrace {

/// A dataset, a tokenizer and a transformer that all tests of the suite use; made once, by the programs.
class Generation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    run("prepare_data", "procedural --count 48 --test-count 16 --out " + file("data.h5"));
    run("train_vqvae", "--data " + file("data.h5") +
                           " --threads 1 --ch 8 --ch-mult 1,1,1,2 --patch-nums 1,2,4 --z-channels 4 --vocab 16"
                           " --norm-groups 8 --steps 3 --batch 4 --init-iterations 1 --evaluate-images 8 --out " +
                           file("vqvae"));
    run("train_var", "--data " + file("data.h5") + " --tokenizer " + file("vqvae/checkpoint.h5") +
                         " --threads 1 --depth 2 --embed-dim 32 --heads 2 --steps 4 --batch 4 --lr 0.01"
                         " --log-every 1 --evaluate-images 8 --out " +
                         file("var"));
    write_png(file("picture.png"), generate_procedural(1, 5, 5));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return *folder_ / name; }
  static std::string models() {
    return " --checkpoint " + file("var/checkpoint.h5") + " --tokenizer " + file("vqvae/checkpoint.h5") + " ";
  }
  static CommandResult start(const std::string& program, const std::string& arguments) {
    return run_command(program_path(program).string() + " " + arguments + " < /dev/null");
  }
  /// Runs a program that must succeed; its output.
  static std::string run(const std::string& program, const std::string& arguments) {
    const CommandResult result = start(program, arguments);
    EXPECT_EQ(result.status, 0) << program << " " << arguments << "\n" << result.output;
    return result.output;
  }
  /// Status 2 and exactly this line.
  static void expect_refusal(const std::string& program, const std::string& arguments, const std::string& text) {
    const CommandResult result = start(program, arguments);
    EXPECT_EQ(result.status, 2) << arguments;
    EXPECT_EQ(result.output, program + ": error: " + text + "\n") << arguments;
  }
  /// All that is in folder `a`, but for run.json, is in `b` with the same bytes.
  static void expect_same_files(const std::string& a, const std::string& b) {
    int64_t compared = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(file(a))) {
      const std::string name = entry.path().lexically_relative(file(a)).string();
      if (name == "run.json" || !entry.is_regular_file()) { continue; }
      ASSERT_TRUE(std::filesystem::exists(file(b) + "/" + name)) << b << "/" << name;
      EXPECT_EQ(read_file(file(a) + "/" + name), read_file(file(b) + "/" + name)) << a << " and " << b << ": " << name;
      ++compared;
    }
    EXPECT_GT(compared, 1) << a;
  }
  static int64_t files_in(const std::string& name) {
    int64_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(file(name))) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  inline static TemporaryFolder* folder_ = nullptr;
};

}  // namespace terrace
