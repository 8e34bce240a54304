// Folders and files of sample and reconstruct that hold work already, and runs of earlier versions.
#include <filesystem>

#include "data/formats/open_tensor_file.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/side_source.h"
#include "tests/experiments/sampling/programs.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// A run as earlier versions left it: images and strips in the folder itself, no list of files.
void flatten(const std::string& folder) {
  for (const char* below : {"images", "scales"}) {
    for (const auto& entry : fs::directory_iterator(folder + "/" + below)) {
      const std::string end = std::string(below) == "scales" ? "-scales.png" : ".png";
      fs::rename(entry.path(), folder + "/" + entry.path().stem().string() + end);
    }
    fs::remove(folder + "/" + below);
  }
  Json record = read_json_file(folder + "/run.json");
  record.erase("files");
  write_file(folder + "/run.json", checked_json_text(record));
}

TEST_F(Generation, SamplesOfTwoRunsAreNotMixed) {
  const std::string arguments = models() + "--classes 0,3 --out " + file("mixed") + " ";
  run("sample", arguments + "--count 2 --show-scales");
  const Json record = read_json_file(file("mixed/run.json"));
  EXPECT_EQ(record["files"].size(), 1 + 4 + 4U) << "the grid, images, strips";
  EXPECT_EQ(record["files"][1], "images/red_disc_top_left-0000.png");
  const std::string ended = record["ended"].get<std::string>();
  expect_refusal("sample", arguments + "--count 1 --seed 9",
                 file("mixed") + " holds a run of sample that ended " + ended +
                     "; add --resume to go on with it, --overwrite to replace it, or give another folder with --out");
  expect_refusal("sample", arguments + "--count 1 --show-scales --resume",
                 "--resume: the run in " + file("mixed") +
                     " has images/red_disc_top_left-0002.png, which this command does not write; give --class-names, "
                     "--count, --files and --show-scales as it did, or another folder with --out");
  expect_refusal("sample", arguments + "--resume --overwrite",
                 "--resume goes on with the run in OUT, --overwrite replaces it; give one of them");
  EXPECT_EQ(files_in("mixed"), 1 + 4 + 4 + 1) << "the refusals changed nothing";
  run("sample", arguments + "--count 3 --show-scales --resume");  // the same images and more
  EXPECT_EQ(files_in("mixed"), 1 + 6 + 6 + 1);

  write_file(file("mixed/images/mine.png"), "mine");
  run("sample", arguments + "--count 1 --seed 9 --overwrite");
  EXPECT_EQ(files_in("mixed"), 1 + 2 + 1 + 1) << "the grid, two images, run.json, and mine";
  EXPECT_EQ(read_file(file("mixed/images/mine.png")), "mine");
  EXPECT_FALSE(fs::exists(file("mixed/scales")));
  const RunImages images = images_of_run(file("mixed")).value();
  EXPECT_EQ(images.program, "sample");
  EXPECT_EQ(images.files, (std::vector<std::string>{file("mixed/images/red_disc_top_left-0000.png"),
                                                    file("mixed/images/red_disc_bottom_right-0001.png")}));
  EXPECT_EQ(images.others, std::vector<std::string>{"images/mine.png"});
  EXPECT_EQ(images.labels, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(images.class_names, (std::vector<std::string>{"red disc top left", "red disc bottom right"}));
  const Json results = read_json_file(file("mixed/run.json"))["results"];
  EXPECT_EQ(results["labels"], Json({0, 3}));
  EXPECT_EQ(results["class_names"], Json({{"0", "red disc top left"}, {"3", "red disc bottom right"}}));
  // A run repeated from its record replaces nothing.
  EXPECT_FALSE(read_json_file(file("mixed/run.json"))["configuration"].contains("overwrite"));
  EXPECT_EQ(start("sample", "--config " + file("mixed/run.json")).status, 2);
}

TEST_F(Generation, AnNpzIsReplacedOnRequestAlone) {
  write_file(file("kept.npz"), "hours of work");
  const std::string arguments = models() + "--classes 0 --count 1 --npz " + file("kept.npz") + " --out " + file("kept");
  expect_refusal(
      "sample", arguments,
      file("kept.npz") + " is there already; add --overwrite to replace it, or give another name with --npz");
  expect_refusal("sample", arguments + " --resume",
                 file("kept.npz") + " is there already, and is not of the run to resume; give another name with --npz");
  EXPECT_EQ(read_file(file("kept.npz")), "hours of work");
  EXPECT_FALSE(fs::exists(file("kept")));
  run("sample", arguments + " --overwrite");
  EXPECT_EQ(open_tensor_file(file("kept.npz")).entry("arr_0").shape, (Shape{1, 32, 32, 3}));
  expect_refusal("sample", models() + "--npz " + file("kept.h5"),
                 "--npz must end in .npz, the format that is written, got '" + file("kept.h5") + "'");
}

TEST_F(Generation, RunsOfEarlierVersionsAreGoneOnWith) {
  const std::string arguments = models() + "--classes 0,3 --count 2 --batch 2 --show-scales --out ";
  run("sample", arguments + file("new"));
  run("sample", arguments + file("old"));
  flatten(file("old"));
  EXPECT_EQ(run("sample", arguments + file("old") + " --resume"),
            "nothing is left to do: " + file("old") + " holds all 4 images\n");
  const RunImages images = images_of_run(file("old")).value();
  ASSERT_EQ(images.files.size(), 4U);
  EXPECT_EQ(images.files[2], file("old/red_disc_top_left-0002.png"));
  EXPECT_TRUE(images.others.empty()) << "the grid and the strips are of the run, but no images";
  expect_refusal(
      "sample", arguments + file("old") + " --overwrite",
      "--overwrite: " + file("old/run.json") +
          " does not list the files of its run (an earlier version wrote it); remove the folder yourself, or "
          "give another one with --out");
  // One that was stopped had its pixels in images.partial, no run.json, and its files beside them.
  fs::create_directories(file("stopped"));
  const Json key = read_json_file(file("old/run.json"))["results"]["drawn_from"];
  write_file(file("stopped/images.partial.json"), key.dump());
  std::string pixels;
  for (const char* name : {"red_disc_top_left-0000.png", "red_disc_bottom_right-0001.png"}) {
    const Tensor image = read_image(file("old/") + name);
    pixels.append(reinterpret_cast<const char*>(image.data<uint8_t>()), static_cast<size_t>(image.numel()));
  }
  write_file(file("stopped/images.partial"), pixels);
  expect_refusal("sample", arguments + file("stopped"),
                 file("stopped/images.partial") +
                     " is there already and no run.json lists it; add --resume to go on with its run, move it away, or "
                     "give another folder with --out");
  run("sample", models() + "--classes 0,3 --count 2 --batch 2 --resume --out " + file("stopped"));
  // Its images had no checksums.
  EXPECT_EQ(read_json_file(file("stopped/run.json"))["results"]["images_drawn_now"], 4);
  for (const auto& entry : fs::directory_iterator(file("new/images"))) {
    EXPECT_EQ(read_file(entry.path().string()), read_file(file("stopped/images/") + entry.path().filename().string()));
  }
}

/// Of a folder that stands for the checkpoint in it, the checkpoint alone is read: a run below it can be replaced.
TEST_F(Generation, RunsInTheFolderOfTheirModelAreReplaced) {
  fs::create_directories(file("folders"));
  for (const char* model : {"var", "vqvae"}) {
    fs::copy(file(model), file("folders/") + model, fs::copy_options::recursive);
  }
  const std::string var = file("folders/var"), vqvae = file("folders/vqvae"), picture = file("picture.png");
  const std::string weights = " --checkpoint " + var + " --tokenizer " + vqvae + " ";
  const std::pair<std::string, std::string> commands[] = {
      {"sample", weights + "--classes 0 --count 1 --out " + var + "/s"},
      {"edit", weights + "--image " + picture + " --box 0,0,16,16 --class 0 --count 1 --out " + vqvae + "/e"},
      {"reconstruct", picture + " --tokenizer " + vqvae + " --out " + vqvae + "/r"},
      {"inspect_pe", var + " --out " + var + "/i"}};
  for (const auto& [program, arguments] : commands) {
    run(program, arguments);
    run(program, arguments + " --overwrite");
  }
  EXPECT_EQ(read_file(var + "/checkpoint.h5"), read_file(file("var/checkpoint.h5")));
  const std::string result = vqvae + "/e/images/edit-0000.png";
  expect_refusal("edit", weights + "--image " + result + " --box 0,0,16,16 --class 0 --overwrite --out " + vqvae + "/e",
                 result + " is a file that --image reads (" + result +
                     "); an input is never written over, with --overwrite neither: give another folder with --out");
}

TEST_F(Generation, ImagesOfAnUnknownRunAreNotGoneOnWith) {
  const std::string arguments = models() + "--classes 0 --count 1 --out " + file("unknown");
  run("sample", arguments + " --resume");  // nothing is there: it begins
  const std::string grid = read_file(file("unknown/grid.png"));
  write_file(file("unknown/run.json"), "");
  expect_refusal("sample", arguments + " --resume --seed 9",
                 file("unknown/run.json") +
                     " is not the record of a run: it is empty; move it away (--resume from a checkpoint needs none), "
                     "or give another folder with --out");
  fs::remove(file("unknown/run.json"));
  expect_refusal("sample", arguments + " --resume --seed 9",
                 file("unknown/grid.png") +
                     " is there already and no run.json lists it; move it away, or give another folder with --out");
  EXPECT_EQ(read_file(file("unknown/grid.png")), grid);
}

TEST_F(Generation, ReconstructionsOfTwoRunsAreNotMixed) {
  const std::string arguments = " --tokenizer " + file("vqvae/checkpoint.h5") + " --out " + file("twice");
  run("reconstruct", file("picture.png") + arguments);
  EXPECT_EQ(read_json_file(file("twice/run.json"))["files"],
            Json({"reconstruct.csv", "reconstruct.json", "grid.png", "images/0000-picture.png"}));
  const std::string ended = read_json_file(file("twice/run.json"))["ended"];
  expect_refusal("reconstruct", file("data.h5") + " --limit 2" + arguments,
                 file("twice") + " holds a run of reconstruct that ended " + ended +
                     "; add --overwrite to replace it, or give another folder with --out");
  expect_refusal("reconstruct", file("twice/images") + arguments + " --overwrite",
                 file("twice/images/0000-picture.png") + " is a file that IMAGES reads (" + file("twice/images") +
                     "); an input is never written over, with --overwrite neither: give another folder with --out");
  expect_refusal("sample", models() + "--overwrite --out " + file("twice"),
                 file("twice") +
                     " holds a run of reconstruct, which sample does not replace; give another folder with "
                     "--out");
  run("reconstruct", file("data.h5") + " --limit 2 --no-files" + arguments + " --overwrite");
  EXPECT_FALSE(fs::exists(file("twice/images")));
}

}  // namespace
}  // namespace terrace
