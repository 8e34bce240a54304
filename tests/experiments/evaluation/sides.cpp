// evaluate of runs' folders, of sets of mixed sizes, of parts of sets, and of sides that do not fit each other.
#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/side_source.h"
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

TEST_F(EvaluateRuns, TellTheClassesOfTheirImages) {
  write_run(false);
  const auto tell = [&](const Json& labels) {
    Json record = read_json_file(options_.fake + "/run.json");
    record["results"]["labels"] = labels;
    record["results"]["class_names"] = {{"7", "bear"}, {"3", "apple"}};
    write_file(options_.fake + "/run.json", checked_json_text(record));
  };
  tell({7, 3, 7, 3});
  const RunImages run = images_of_run(options_.fake).value();
  EXPECT_EQ(run.labels, (std::vector<int64_t>{0, 1, 0, 1}));
  EXPECT_EQ(run.class_names, (std::vector<std::string>{"bear", "apple"}));
  make_folder(folder_ / "real/apple");
  make_folder(folder_ / "real/bear");
  for (int64_t i = 0; i < 4; ++i) {
    write_png(cat(folder_ / "real", i % 2 == 0 ? "/bear/" : "/apple/", i, ".png"), images_.select(0, i));
  }
  options_.real = folder_ / "real";
  options_.per_class = true;
  const std::vector<ClassFigure> classes = evaluate(options_).classes;
  ASSERT_EQ(classes.size(), 2U);
  EXPECT_EQ(classes[0].name, "apple");
  EXPECT_EQ(classes[0].fake, 2);
  EXPECT_NEAR(classes[0].value, 0, 1e-9) << "the images of the class on either side";
  tell({7, 3, -1, 3});
  expect_error<ConfigError>([&] { evaluate(options_); },
                            options_.fake + " does not tell the class of its images; a dataset,");
  tell({7, 3});
  expect_error<ConfigError>([&] { evaluate(options_); },
                            options_.fake +
                                "/run.json tells the classes of 2 images and lists 4; move it away to take "
                                "all pictures in " +
                                options_.fake);
}

TEST_F(EvaluateRuns, ThatCannotBeJudgedAreRefused) {
  write_run(false);
  std::filesystem::remove(options_.fake + "/images/a-0001.png");
  expect_error<IoError>([&] { evaluate(options_); }, "cannot read " + options_.fake + "/images/a-0001.png: " +
                                                         options_.fake + "/run.json lists it, and it is not there");
  const auto rewrite = [&](const std::string& key, const Json& value) {
    Json record = read_json_file(options_.fake + "/run.json");
    record[key] = value;
    write_file(options_.fake + "/run.json", checked_json_text(record));
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
    return checked_json_text(changed);
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
    expect_error<ConfigError>(
        [&] { evaluate(options_); },
        path + " is not the record of a run: " + mistake + "; move it away to take all pictures in " + options_.fake);
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
  write_file(path, checked_json_text(flat));
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

TEST(EvaluateProgram, ComparesTheSidesBeforeAnyImageGoesThroughTheNetwork) {
  const TemporaryFolder folder;
  write_first_layers(folder / "w.safetensors");
  write_samples(folder / "a.npz", pictures(5, 10));
  write_samples(folder / "labelled.npz", pictures(4, 11), Tensor::from(std::vector<int64_t>{0, 0, 1, 1}, {4}));
  write_samples(folder / "others.npz", pictures(4, 12), Tensor::from(std::vector<int64_t>{2, 2, 3, 3}, {4}));
  ImageDatasetWriter writer(folder / "d.h5", 12, 16, {"x", "y"}, "test");
  writer.begin_split("train");
  writer.append(pictures(4, 13), Tensor::zeros({4}, DType::kI64));
  writer.commit();
  const Gaussian few{.mean = Tensor::zeros({48}, DType::kF64), .covariance = Tensor::zeros({48, 48}, DType::kF64)};
  write_statistics(folder / "few.npz", {.features = few, .spatial = std::nullopt});
  const auto expect_refusal = [&](const std::string& fake, const std::string& rest, const std::string& text) {
    const CommandResult result =
        run_command(cat(program_path("evaluate").string(), " --cache none --features 64 --weights ",
                        folder / "w.safetensors", " --fake ", folder / fake, " ", rest, " < /dev/null"));
    EXPECT_EQ(result.status, 2) << rest;
    EXPECT_EQ(result.output, "evaluate: error: " + text + "\n") << "no progress of a network before it: " << rest;
  };
  expect_refusal("a.npz", "--real " + folder / "d.h5" + " --split val",
                 folder / "d.h5" + ": no split \"val\"; it has: train");
  expect_refusal("a.npz", "--real " + folder / "few.npz",
                 "the two sides do not fit: 64 features of " + folder / "a.npz" + ", 48 of " + folder / "few.npz" +
                     "; statistics are of one network and level (--features)");
  expect_refusal("a.npz", "--metrics kid --real " + folder / "few.npz",
                 "kid needs images, not their statistics alone: " + folder / "few.npz" + " holds mu and sigma");
  expect_refusal("few.npz", "--bootstrap 5 --real " + folder / "a.npz",
                 "--bootstrap needs images, not their statistics alone: " + folder / "few.npz" + " holds mu and sigma");
  const std::string untold =
      " does not tell the class of its images; a dataset, an .npz with labels in arr_1, a folder with a subfolder "
      "for each class and a run of sample with --classes do";
  expect_refusal("labelled.npz", "--per-class --real " + folder / "a.npz", "--per-class: " + folder / "a.npz" + untold);
  expect_refusal("a.npz", "--per-class --real " + folder / "labelled.npz", "--per-class: " + folder / "a.npz" + untold);
  expect_refusal(
      "labelled.npz", "--per-class --real " + folder / "others.npz",
      "--per-class: " + folder / "labelled.npz" + " and " + folder / "others.npz" + " have no class name in common");
}

TEST_F(Evaluate, SaysWhereAFigureMeansLittle) {
  write_samples(options_.fake, pictures(5, 16));
  write_samples(options_.real, pictures(70, 17));
  options_.metrics = {"fid", "kid"};
  const std::vector<Figure> few = evaluate(options_).figures;
  EXPECT_EQ(few[0].warning,
            "FID(64) of 5 / 70 images in 64 dimensions means little: the covariance of N images has a rank of N - 1 at "
            "most; take more than 64 images of either side");
  EXPECT_EQ(few[1].warning, "");
  EXPECT_EQ(few[1].text, "+- " + format_number(few[1].details["deviation"].get<double>()));
  EXPECT_NE(few[1].stamp_line.find("; 100 subsets of 5;"), std::string::npos) << few[1].stamp_line;
  write_samples(options_.fake, pictures(70, 16));
  const Evaluation enough = evaluate(options_);
  EXPECT_EQ(enough.figures[0].warning, "");
  EXPECT_FALSE(enough.json()["figures"][0].contains("warning"));
  EXPECT_EQ(enough.figures[1].text, "") << "one subset, of all images: no deviation of 0";
  EXPECT_FALSE(enough.figures[1].details.contains("deviation"));
  EXPECT_NE(enough.figures[1].stamp_line.find("; 1 subset of 70, which has no deviation;"), std::string::npos)
      << enough.figures[1].stamp_line;
}

/// The cache knows pixels alone.
TEST_F(Evaluate, ClassesAreThoseOfTheSetThatIsGivenWhateverWasKept) {
  options_.cache_folder = folder_ / "cache";
  options_.per_class = true;
  const auto evaluate_with = [&](const std::vector<int64_t>& labels) {
    write_samples(options_.fake, pictures(6, 14), Tensor::from(labels, {6}));
    write_samples(options_.real, pictures(6, 15), Tensor::from(labels, {6}));
    return evaluate(options_).classes;
  };
  EXPECT_EQ(evaluate_with({0, 0, 0, 1, 1, 1}).size(), 2U);
  EXPECT_EQ(evaluate_with({4, 4, 5, 5, 6, 6}).size(), 3U);
}

}  // namespace
}  // namespace terrace
