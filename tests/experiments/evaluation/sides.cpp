// evaluate of runs' folders, of sets of mixed sizes and of parts of sets.
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "experiments/cli/run_record.h"
#include "tests/data/images/pictures.h"
#include "tests/experiments/evaluation/evaluate.h"

namespace terrace {
namespace {

/// A run of sample: four images, a grid and strips that are none; and a picture of nobody.
class EvaluateRuns : public Evaluate {
 protected:
  EvaluateRuns() {
    options_.fake = folder_ / "run";
    write_samples(options_.real, images_);
  }
  /// `flat`: as earlier versions wrote it.
  void write_run(bool flat) {
    Json files = {"grid.png"};
    make_folder(options_.fake + "/images");
    make_folder(options_.fake + "/scales");
    const Tensor strip = smooth_picture(20, 90);
    for (int64_t i = 0; i < 4; ++i) {
      const std::string stem = cat(i % 2 == 0 ? "b" : "a", "-000", i);
      files.push_back(cat("images/", stem, ".png"));
      write_png(cat(options_.fake, flat ? "/" : "/images/", stem, ".png"), images_.select(0, i));
      files.push_back(cat("scales/", stem, ".png"));
      write_png(cat(options_.fake, flat ? "/" : "/scales/", stem, flat ? "-scales.png" : ".png"), strip);
    }
    write_png(options_.fake + "/grid.png", strip);
    RunRecord record("sample", {{"files", true}}, 0);
    record.results()["images"] = 4;
    if (!flat) { record.set_files(files.get<std::vector<std::string>>()); }
    record.write(options_.fake);
  }
  Json fake() const { return evaluate(options_).figures.at(0).stamp["fake"]; }

  Tensor images_ = pictures(4, 1);
};

TEST_F(EvaluateRuns, CountTheirImagesAlone) {
  for (const bool flat : {false, true}) {
    SCOPED_TRACE(flat ? "flat" : "folders");
    std::filesystem::remove_all(options_.fake);
    write_run(flat);
    testing::internal::CaptureStderr();
    const Figure figure = evaluate(options_).figures.at(0);
    EXPECT_EQ(testing::internal::GetCapturedStderr().find("--fake: "), std::string::npos);
    EXPECT_NEAR(figure.value, 0, 1e-9);
    EXPECT_EQ(figure.stamp["fake"]["images"], 4);
    EXPECT_EQ(figure.stamp["fake"]["hash"], figure.stamp["real"]["hash"]) << "in the order in which they were drawn";
    EXPECT_FALSE(figure.stamp["fake"].contains("pictures_not_of_the_run"));
    EXPECT_FALSE(figure.stamp["fake"].contains("sizes"));
  }
}

TEST_F(EvaluateRuns, SayWhatIsNotOfThem) {
  write_run(false);
  write_png(options_.fake + "/images/mine.png", smooth_picture(5, 5));
  testing::internal::CaptureStderr();
  EXPECT_EQ(fake()["pictures_not_of_the_run"], 1);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(
      said.find("--fake: 4 images that " + options_.fake + "/run.json lists; not this picture: images/mine.png\n"),
      std::string::npos)
      << said;
  options_.fake += "/images";  // a plain folder: all in it
  EXPECT_EQ(fake()["images"], 5);
}

TEST_F(EvaluateRuns, ThatCannotBeJudgedAreRefused) {
  write_run(false);
  std::filesystem::remove(options_.fake + "/images/a-0001.png");
  expect_error<IoError>([&] { evaluate(options_); }, "cannot read " + options_.fake + "/images/a-0001.png: " +
                                                         options_.fake + "/run.json lists it, and it is not there");
  const auto rewrite = [&](const std::string& key, const Json& value) {
    Json record = read_json_file(options_.fake + "/run.json");
    record[key] = value;
    write_file(options_.fake + "/run.json", record.dump());
  };
  rewrite("files", {"grid.png"});
  rewrite("results", {{"npz", "s.npz"}});
  expect_error<ConfigError>([&] { evaluate(options_); }, options_.fake +
                                                             " holds a run of sample, which left no files of "
                                                             "images; give its npz: s.npz");
  rewrite("ended", nullptr);
  expect_error<ConfigError>([&] { evaluate(options_); }, options_.fake +
                                                             " holds an unfinished run of sample; finish it, or give " +
                                                             options_.fake + "/images for what is there");
  std::filesystem::remove_all(options_.fake);
  write_run(true);
  std::filesystem::copy(options_.fake + "/a-0001.png", options_.fake + "/b-0001.png");
  expect_error<ConfigError>([&] { evaluate(options_); }, options_.fake +
                                                             " holds two images of number 1, a-0001.png and "
                                                             "b-0001.png, of two runs");
  std::filesystem::remove(options_.fake + "/a-0001.png");
  std::filesystem::remove(options_.fake + "/b-0001.png");
  expect_error<IoError>([&] { evaluate(options_); },
                        "cannot read " + options_.fake + ": image 1 of the 4 of its run is missing");
}

TEST_F(EvaluateRuns, WithADamagedRecordAreRefused) {
  write_run(false);
  const std::string path = options_.fake + "/run.json";
  const Json whole = read_json_file(path);
  const auto with = [&](const char* key, const Json& value) {
    Json changed = whole;
    changed[key] = value;
    return changed.dump();
  };
  Json files = whole["files"];
  files.push_back("images/../images/a-0001.png");
  const std::pair<std::string, std::string> cases[] = {
      {"", "it is empty"},
      {"[]", "it is no JSON object"},
      {whole.dump().substr(0, 40), "it is no valid JSON, or is cut off"},
      {with("program", 3), "\"program\" is 3, where a text belongs"},
      {with("files", {1}), "\"files\" is [1], where a list of texts belongs"},
      {with("files", files), "\"files\" lists images/a-0001.png twice"},
      {with("results", 3), "\"results\" is 3, where an object or a list belongs"}};
  for (const auto& [text, mistake] : cases) {
    write_file(path, text);
    expect_error<ConfigError>([&] { evaluate(options_); }, path + " is not the record of a run: " + mistake +
                                                               "; move it away to evaluate all pictures in " +
                                                               options_.fake);
  }
  // A grid is no image by another name.
  files = whole["files"];
  files.erase(0);
  files.push_back("images/../grid.png");
  write_file(path, with("files", files));
  testing::internal::CaptureStderr();
  EXPECT_EQ(fake()["images"], 4);
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("--fake: "), std::string::npos) << "the grid is of the run";
  // A number that no folder holds.
  Json flat = whole;
  flat.erase("files");
  flat["results"]["images"] = uint64_t{1} << 62;
  write_file(path, flat.dump());
  expect_error<IoError>([&] { evaluate(options_); }, " of the 4611686018427387904 of its run is missing");
}

TEST_F(Evaluate, MixedSizesAreSaidWithTheirNumbers) {
  options_.fake = folder_ / "mixed";
  make_folder(options_.fake);
  write_samples(options_.real, pictures(4, 1));
  for (int i = 0; i < 3; ++i) { write_png(cat(options_.fake, "/", i, ".png"), smooth_picture(6, 8)); }
  write_png(options_.fake + "/wide.png", smooth_picture(5, 30));
  testing::internal::CaptureStderr();
  const Figure figure = evaluate(options_).figures.at(0);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("warning: the images of --fake differ in size: 3 of 8x6, 1 of 30x5; each is resized by itself\n"),
            std::string::npos)
      << said;
  EXPECT_EQ(figure.stamp["fake"]["sizes"], "3 of 8x6, 1 of 30x5");
  EXPECT_FALSE(figure.stamp["real"].contains("sizes"));
}

TEST_F(Evaluate, ALimitTakesAPartOfASideAndSaysSo) {
  write_samples(options_.fake, pictures(9, 2));
  write_samples(options_.real, pictures(11, 3));
  options_.cache_folder = folder_ / "cache";
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(options_.cache_folder),
                         std::filesystem::directory_iterator());
  };
  EXPECT_NE(stamp_line().find("; N 9 / 11;"), std::string::npos);
  EXPECT_EQ(files(), 1);
  options_.real_limit = 5;
  const Figure part = evaluate(options_).figures.at(0);
  EXPECT_NE(part.stamp_line.find("; N 9 / 5 of 11;"), std::string::npos) << part.stamp_line;
  EXPECT_EQ(part.stamp["real"]["images"], 5);
  EXPECT_EQ(part.stamp["real"]["images_of_the_set"], 11);
  EXPECT_EQ(files(), 2) << "the key is the pixels that were taken";
  options_.fake_limit = 9;  // all of it
  options_.seed = 8;
  const Figure again = evaluate(options_).figures.at(0);
  EXPECT_EQ(again.value, part.value) << "the same part whatever the seed";
  EXPECT_EQ(files(), 2);
  options_.fake_limit = 4;
  EXPECT_NE(stamp_line().find("; N 4 of 9 / 5 of 11;"), std::string::npos);

  options_.save_stats = folder_ / "saved.npz";
  evaluate(options_);
  options_.real = options_.save_stats;
  options_.save_stats = "";
  expect_error<ConfigError>([&] { evaluate(options_); },
                            "--real-limit 5: " + options_.real +
                                " holds statistics of all its images, of which none can be left out; limit the other "
                                "side alone, by --fake-limit");
}

}  // namespace
}  // namespace terrace
