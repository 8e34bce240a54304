// Whatever path a file has, an input is no output.
#include "experiments/cli/inputs.h"

#include <filesystem>

#include "data/files/atomic_file.h"
#include "experiments/cli/options.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

class Inputs : public testing::Test {
 protected:
  Inputs() {
    for (const char* name : {"runs/vq", "pictures/dogs", "cifar"}) { fs::create_directories(folder_ / name); }
    for (const char* name : {"c.h5", "data.h5", "runs/vq/checkpoint.h5", "runs/vq/recon.png", "pictures/dogs/1.JPG",
                             "pictures/notes.h5", "cifar/train.bin", "other.h5"}) {
      write_file(folder_ / name, name);
    }
    fs::create_symlink(folder_ / "c.h5", folder_ / "symbolic.h5");
    fs::create_hard_link(folder_ / "c.h5", folder_ / "hard.h5");
    fs::create_hard_link(folder_ / "pictures/dogs/1.JPG", folder_ / "hard.png");
    fs::create_directory_symlink(folder_ / "runs", folder_ / "link");
  }
  void refuse(const std::string& input, const std::string& output) const {
    SCOPED_TRACE(input + " -> " + output);
    const InputFiles inputs({{"--first", ""}, {"--none", folder_ / "none.h5"}, {"IN", folder_ / input}});
    expect_error<ConfigError>([&] { inputs.refuse_output(folder_ / output, "give another name"); },
                              folder_ / output + " is a file that IN reads (" + (folder_ / input) +
                                  "); an input is never written over, with --overwrite neither: give another name");
  }
  void accept(const std::string& input, const std::string& output) const {
    SCOPED_TRACE(input + " -> " + output);
    InputFiles({{"IN", folder_ / input}}).refuse_output(folder_ / output, "give another name");
  }
  TemporaryFolder folder_;
};

TEST_F(Inputs, AreToldByDeviceAndInode) {
  for (const char* output : {"c.h5", "./c.h5", "runs/../c.h5", "symbolic.h5", "hard.h5"}) {
    refuse("c.h5", output);
    refuse(output, "c.h5");
  }
  accept("c.h5", "other.h5");
  accept("c.h5", "new.h5");
  accept("c.h5", "runs");
  accept("none.h5", "c.h5");
}

TEST_F(Inputs, OfAFolderAreItsCheckpointOrItsPictures) {
  refuse("runs/vq", "runs/vq/checkpoint.h5");
  refuse("link/vq/", "runs/vq/checkpoint.h5");
  accept("runs/vq", "runs/vq/recon.png");
  refuse("pictures", "pictures/dogs/1.JPG");
  refuse("pictures", "hard.png");
  accept("pictures", "pictures/notes.h5");
  refuse("cifar", "cifar/train.bin");
}

TEST_F(Inputs, OfAFolderWithLinksToItselfAreFound) {
  for (const char* name : {"pictures/a", "pictures/dogs/b", "pictures/dogs/c"}) {
    fs::create_directory_symlink(folder_ / "pictures", folder_ / name);
  }
  fs::create_symlink(folder_ / "nothing", folder_ / "pictures/d");
  refuse("pictures", "pictures/dogs/1.JPG");
  accept("pictures", "pictures/notes.h5");
}

TEST_F(Inputs, OfADatasetAreItsFile) {
  refuse("data.h5/test/12", "data.h5");
  accept("data.h5/test/12", "c.h5");
}

TEST_F(Inputs, AreDeclaredByTheOptionsThatNameThem) {
  std::string in, data, out, unused;
  std::vector<std::string> images;
  Options options("prog", "does something");
  options.add("in", in, "a file").positional().input();
  options.add("data", data, "a file").input();
  options.add("unused", unused, "a file").input();
  options.add("images", images, "files").input();
  options.add("out", out, "a file");
  write_file(folder_ / "config.json", R"({"data": "d.h5"})");
  const std::string config = folder_ / "config.json";
  const char* arguments[] = {"prog", "c.h5", "--images", "a.png,b.png", "--out", "o.h5", "--config", config.c_str()};
  options.parse(8, arguments);
  std::string text;
  for (const InputFile& input : options.inputs()) { text += input.option + "=" + input.path + ";"; }
  EXPECT_EQ(text, "--config=" + config + ";IN=c.h5;--data=d.h5;--unused=;--images=a.png;--images=b.png;");
}

}  // namespace
}  // namespace terrace
