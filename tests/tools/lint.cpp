// The lint itself: every check passes a clean tree and names what is planted in it.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// A tree with one clean source, in which a check of tools/ runs.
class Planted {
 public:
  Planted() { write("tensor/tensor.h", "#pragma once\n#include \"tensor/base/error.h\"\n"); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(folder_ / path).parent_path());
    write_file(folder_ / path, text);
  }
  CommandResult check(const std::string& name) const {
    return run_command("cd " + folder_.path() + " && " + (source_root() / "tools" / name).string());
  }
  std::string path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) { text += "  x += 1;\n"; }
  return text;
}

void expect_refused(const CommandResult& result, const std::string& named) {
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find(named), std::string::npos) << result.output;
}

TEST(Lint, ACleanTreePasses) {
  const Planted tree;
  for (const char* check : {"check_rooms", "check_lengths", "check_leftovers", "check_subjects"}) {
    const CommandResult result = tree.check(check);
    EXPECT_EQ(result.status, 0) << check << ": " << result.output;
  }
}

TEST(Lint, AnIncludeThatPointsUpwardsIsNamed) {
  const Planted between_folders, between_rooms, example, unknown;
  between_folders.write("tensor/reduce.cpp", "#include \"autograd/variable.h\"\n");
  expect_refused(between_folders.check("check_rooms"), "tensor/reduce.cpp:1:");
  between_rooms.write("data/files/sha256.cpp", "\n#include \"data/datasets/loader.h\"\n");
  expect_refused(between_rooms.check("check_rooms"), "data/files/sha256.cpp:2:");
  example.write("examples/first_program/main.cpp", "#include \"nn/optim.h\"\n#include \"experiments/cli/options.h\"\n");
  expect_refused(example.check("check_rooms"), "examples/first_program/main.cpp:2:");
  unknown.write("data/misc/thing.h", "#pragma once\n");
  expect_refused(unknown.check("check_rooms"), "data/misc/thing.h: data/misc is no room");
}

TEST(Lint, ALongFunctionIsNamed) {
  const Planted tree, cuda, allowed;
  tree.write("nn/layers.cpp",
             "namespace terrace {\n\nvoid f(int x) {\n" + lines(59) + "}\n\n}  // namespace terrace\n");
  expect_refused(tree.check("check_lengths"), "nn/layers.cpp:3: a function of 61 lines");
  cuda.write("cuda/kernels/softmax.cu", "__global__ void f(int x) {\n" + lines(80) + "}\n");
  expect_refused(cuda.check("check_lengths"), "cuda/kernels/softmax.cu:1: a function of 82 lines");
  allowed.write("nn/layers.cpp", "class A {\n  void f(int x) {\n" + lines(58) + "  }\n" + lines(100) + "};\n");
  allowed.write("tests/nn/layers.cpp", "void f(int x) {\n" + lines(100) + "}\n");
  EXPECT_EQ(allowed.check("check_lengths").status, 0) << allowed.check("check_lengths").output;
}

TEST(Lint, BracesInTextsAndCommentsDoNotCount) {
  const Planted tree;
  tree.write("nn/layers.cpp", "void f(int x) {\n  g(\"{\"); g('{'); g(R\"(})\");  // {\n" + lines(30) +
                                  "}\nvoid g(int x) {\n" + lines(30) + "}\n");
  EXPECT_EQ(tree.check("check_lengths").status, 0) << tree.check("check_lengths").output;
}

TEST(Lint, ALongFileIsNamed) {
  const Planted tree;
  tree.write("cuda/kernels/softmax.cu", lines(401));
  expect_refused(tree.check("check_lengths"), "cuda/kernels/softmax.cu: 401 lines");
}

TEST(Lint, AWideCommentIsNamed) {
  const Planted tree;
  tree.write("nn/layers.h", "#pragma once\n\n  // " + std::string(115, 'a') + "\n// " + std::string(118, 'b') + "\n");
  const CommandResult result = tree.check("check_lengths");
  expect_refused(result, "nn/layers.h:4: a comment beyond 120 columns");
  EXPECT_EQ(result.output.find("nn/layers.h:3"), std::string::npos) << result.output;
}

TEST(Lint, ALeftOverIsNamedInEveryFolder) {
  for (const char* path : {"tensor/a.h", "cuda/kernels/a.cu", "experiments/cli/a.cpp", "tests/a.cpp"}) {
    const Planted tree;
    tree.write(path, std::string("// TO") + "DO: later\n");
    expect_refused(tree.check("check_leftovers"), cat(path, ":1:"));
  }
}

TEST(Lint, ALongSubjectOfACommitIsNamed) {
  const Planted tree;
  const std::string commit = "git -C " + tree.path() + " -c user.name=a -c user.email=a@b commit -q --allow-empty -m ";
  ASSERT_EQ(run_command("git init -q " + tree.path() + " && " + commit + std::string(72, 'a')).status, 0);
  EXPECT_EQ(tree.check("check_subjects").status, 0) << tree.check("check_subjects").output;
  ASSERT_EQ(run_command(commit + std::string(73, 'b')).status, 0);
  expect_refused(tree.check("check_subjects"), std::string(73, 'b'));
}

}  // namespace
}  // namespace terrace
