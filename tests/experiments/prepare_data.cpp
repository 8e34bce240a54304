// The program as a user meets it.
#include <algorithm>
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "experiments/datasets/datasets.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::string program() { return program_path("prepare_data").string(); }

TEST(PrepareData, MakesShowsAndPreviewsTheGeneratedSet) {
  const TemporaryFolder folder;
  const std::string file = folder / "p.h5";
  const CommandResult made = run_command(program() + " procedural --count 64 --test-count 16 --seed 5 --out " + file);
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_NE(made.output.find("split train: 64 images of 32x32, 4 a class"), std::string::npos) << made.output;
  EXPECT_TRUE(fs::exists(folder / "p.run.json"));
  EXPECT_EQ(ImageDataset::open(file, "test").size(), 16);
  const CommandResult info = run_command(program() + " info --verify " + file);
  EXPECT_EQ(info.status, 0);
  EXPECT_NE(info.output.find("content verified"), std::string::npos) << info.output;
  const CommandResult preview = run_command(program() + " preview " + file + " --count 32 --png " + folder / "p.png");
  EXPECT_EQ(preview.status, 0) << preview.output;
  EXPECT_GT(read_image(folder / "p.png").dim(1), 32 * 16);
}

TEST(PrepareData, InfoAndPreviewOfSomeClasses) {
  const TemporaryFolder folder;
  const std::string file = folder / "p.h5", png = folder / "p.png";
  ASSERT_EQ(run_command(program() + " procedural --count 64 --test-count 16 --out " + file).status, 0);
  const CommandResult info = run_command(program() + " info " + file + " --classes '3,red disc top left'");
  EXPECT_EQ(info.status, 0) << info.output;
  for (const char* text : {"  class 3, red disc bottom right: 4 images, mean (",
                           "  class 0, red disc top left: 4 images", "  class 3, red disc bottom right: 1 images"}) {
    EXPECT_NE(info.output.find(text), std::string::npos) << text << info.output;
  }
  EXPECT_EQ(run_command(program() + " info " + file).output.find("  class "), std::string::npos);

  // One row of four pictures under each name, 64 pixels and a gap of 2 each; a picture differs from the others.
  const std::string preview = program() + " preview " + file + " --png " + png;
  const CommandResult two = run_command(preview + " --classes 'red disc top left,3' --count 8");
  EXPECT_EQ(two.status, 0) << two.output;
  EXPECT_NE(two.output.find("p.png: 8 images of 2 classes of split train"), std::string::npos) << two.output;
  EXPECT_EQ(read_image(png).dim(1), 4 * 66 - 2);
  EXPECT_GT(read_image(png).dim(0), 2 * (64 + 20));
  const std::string before = read_file(png);
  const CommandResult again = run_command(preview + " --class 5");
  EXPECT_EQ(again.status, 2);
  EXPECT_EQ(again.output, "prepare_data: error: " + png +
                              " is there already; add --overwrite to replace it, or give another name with --png\n");
  EXPECT_EQ(read_file(png), before);
  const CommandResult one = run_command(preview + " --class 5 --overwrite");
  EXPECT_NE(one.output.find("p.png: 4 images of 1 class of split train"), std::string::npos) << one.output;

  const std::pair<std::string, std::string> refused[] = {
      {" --class 16", "--class: '16' is neither a class name nor a number below 16"},
      {" --classes 1,16", "--classes: '16' is neither a class name nor a number below 16"},
      {" --classes '1,red disc top right'", "--classes: 'red disc top right' names a class twice"},
      {" --class 1 --classes 2", "--class and --classes: give one of the two"}};
  for (const auto& [arguments, reason] : refused) {
    for (const std::string& command : {preview + " --overwrite", program() + " info " + file}) {
      const CommandResult result = run_command(command + arguments);
      EXPECT_EQ(result.status, 2) << result.output;
      EXPECT_NE(result.output.find(reason), std::string::npos) << result.output;
    }
  }
}

TEST(PrepareData, HelpOfEveryCommand) {
  std::vector<std::string> commands = {"", "info", "preview"};
  for (const DatasetKind& kind : kDatasets) { commands.push_back(kind.name); }
  for (const std::string& command : commands) {
    const CommandResult help = run_command(cat(program(), " ", command, " --help"));
    EXPECT_EQ(help.status, 0) << help.output;
    EXPECT_NE(help.output.find("usage: prepare_data"), std::string::npos) << help.output;
  }
}

TEST(PrepareData, HelpListsEveryDataset) {
  const CommandResult help = run_command(program() + " --help");
  for (const DatasetKind& kind : kDatasets) {
    EXPECT_NE(help.output.find(kind.purpose), std::string::npos) << help.output;
    EXPECT_NE(help.output.find(cat("prepare_data ", kind.name, " ", kind.example)), std::string::npos) << help.output;
  }
}

TEST(PrepareData, BadInputIsOneLineAndExitCodeTwo) {
  const TemporaryFolder folder;
  write_file(folder / "text.h5", "no dataset");
  const std::string out = " --out " + folder / "x.h5";
  const std::pair<std::string, std::string> cases[] = {
      {"info " + folder / "text.h5", "it is not an HDF5 file"},
      {"info " + folder / "none.h5", "No such file or directory"},
      {"cifar100 " + folder / "none" + out, "No such file or directory"},
      {"images " + folder.path() + out, "it holds no folders"},
      {"procedural --count 0" + out, "count"},
      {"procedural --out " + folder / "no/x.h5", "No such file or directory"},
      {"procedural", "--out FILE.h5 is needed"},
      {"preview " + folder / "text.h5" + " --png " + folder / "x.jpg", "--png must end in .png, the format that is "},
      {"", "a command is needed"},
  };
  for (const auto& [arguments, reason] : cases) {
    const CommandResult result = run_command(program() + " " + arguments);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
    EXPECT_NE(result.output.find(reason), std::string::npos) << result.output;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(PrepareData, ADatasetIsReplacedOnRequestAloneAndNamedByItsFormat) {
  const TemporaryFolder folder;
  const std::string file = folder / "p.hdf5", make = program() + " procedural --count 16 --test-count 16 --out " + file;
  ASSERT_EQ(run_command(make).status, 0);
  EXPECT_TRUE(fs::exists(folder / "p.run.json"));
  const std::string before = read_file(file);
  const CommandResult refused = run_command(make + " --seed 1");
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.output, "prepare_data: error: " + file +
                                " is there already; add --overwrite to replace it, or give another name with --out\n");
  EXPECT_EQ(read_file(file), before);
  EXPECT_EQ(run_command(make + " --seed 1 --overwrite").status, 0);
  EXPECT_NE(read_file(file), before);
  const CommandResult npz = run_command(program() + " procedural --out " + folder / "x.npz");
  EXPECT_EQ(npz.status, 2);
  EXPECT_EQ(npz.output, "prepare_data: error: --out must end in .h5 or .hdf5, the format that is written, got '" +
                            folder / "x.npz" + "'\n");
  EXPECT_FALSE(fs::exists(folder / "x.npz"));
}

TEST(PrepareData, InterruptLeavesNothing) {
  const TemporaryFolder folder;
  const CommandResult result = run_command("timeout --preserve-status -s INT 1 " + program() +
                                           " procedural --count 100000000 --out " + folder / "x.h5");
  EXPECT_EQ(result.status, 130) << result.output;
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace terrace
