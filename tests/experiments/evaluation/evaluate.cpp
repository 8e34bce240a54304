// evaluate: figures, their names and stamps, what it refuses; the self-check. The network is Inception's first layers
// with weights by chance, which serve level 64.
#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "data/datasets/cifar100.h"
#include "data/datasets/image_dataset.h"
#include "data/datasets/image_source.h"
#include "data/files/atomic_file.h"
#include "data/formats/npz.h"
#include "data/images/image_file.h"
#include "experiments/cli/run_record.h"
#include "experiments/evaluation/evaluation.h"
#include "experiments/evaluation/metric.h"
#include "experiments/evaluation/self_check.h"
#include "tensor/random.h"
#include "tests/data/images/pictures.h"
#include "tests/experiments/evaluation/evaluate.h"
#include "tests/experiments/evaluation/first_layers.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST_F(Evaluate, FolderAndNpzOfTheSamePicturesAreAtZero) {
  const Tensor images = pictures(9, 1);
  write_samples(folder_ / "real.npz", images);
  options_.fake = folder_ / "pngs";
  make_folder(options_.fake);
  for (int64_t i = 0; i < 9; ++i) { write_png(cat(options_.fake, "/", i, ".png"), images.select(0, i)); }
  options_.metrics = {"fid", "kid", "pr", "dc"};
  options_.manifold = {.k_precision = 2, .k_density = 2};
  const Evaluation result = evaluate(options_);
  ASSERT_EQ(result.figures.size(), 6U);
  const auto& f = result.figures;
  EXPECT_EQ(f[0].name, "FID(64)");
  EXPECT_NEAR(f[0].value, 0, 1e-9);
  EXPECT_EQ(f[1].name, "KID(64)");
  EXPECT_EQ(f[2].name, "precision(64)");
  EXPECT_EQ(f[2].value, 1);
  EXPECT_EQ(f[5].name, "coverage(64)");
  EXPECT_EQ(f[5].value, 1);
  EXPECT_EQ(f[0].stamp["fake"]["hash"], f[0].stamp["real"]["hash"]);
}

TEST_F(Evaluate, StampsEveryNumber) {
  write_samples(options_.fake, pictures(8, 2));
  write_samples(options_.real, pictures(11, 3));
  options_.metrics = {"fid", "kid"};
  options_.kid_size = 6;
  options_.kid_subsets = 5;
  options_.bootstrap = 4;
  const Evaluation result = evaluate(options_);
  const Json json = result.json();
  for (const Json& figure : json["figures"]) {
    const Json& stamp = figure["stamp"];
    EXPECT_EQ(stamp["protocol"], "pytorch-fid");
    EXPECT_EQ(stamp["level"], 64);
    EXPECT_EQ(stamp["weights_complete"], false);
    EXPECT_EQ(stamp["weights"].get<std::string>().size(), 7 + 64U);
    EXPECT_EQ(stamp["fake"]["images"], 8);
    EXPECT_EQ(stamp["real"]["images"], 11);
    EXPECT_EQ(stamp["real"]["hash"].get<std::string>().size(), 7 + 64U);
    EXPECT_FALSE(stamp["version"].get<std::string>().empty());
  }
  EXPECT_EQ(json["figures"][1]["stamp"]["kid"]["subsets"], 5);
  EXPECT_EQ(json["figures"][1]["stamp"]["kid"]["size"], 6);
  EXPECT_LT(json["figures"][0]["interval_95"][0], json["figures"][0]["value"]);
  for (const char* part :
       {"level 64; f32, f64; N 8 / 11; reference sha256:", "(partial)", "; bootstrap 4", "; Terrace "}) {
    EXPECT_NE(result.figures[0].line().find(part), std::string::npos) << result.figures[0].line();
  }
}

TEST_F(Evaluate, EveryMetricOfTheTableHasNamedFiguresAndIsStamped) {
  write_samples(options_.fake, pictures(8, 2));
  write_samples(options_.real, pictures(9, 3));
  const std::string help = run_command(program_path("evaluate").string() + " --help").output;
  std::set<std::string> names;
  for (const Metric& metric : metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name << " is there twice";
    EXPECT_NE(help.find(metric.name), std::string::npos) << metric.name;
    options_.metrics = {metric.name};
    if (metric.needs.logits || metric.needs.spatial) {
      expect_error<ConfigError>([&] { evaluate(options_); }, "cannot be computed");  // by the first layers alone
      continue;
    }
    const Evaluation result = evaluate(options_);
    EXPECT_FALSE(result.figures.empty()) << metric.name;
    for (const Figure& figure : result.figures) {
      EXPECT_TRUE(std::isfinite(figure.value)) << figure.name;
      EXPECT_NE(figure.name.find("(64)"), std::string::npos) << figure.name;
      EXPECT_EQ(figure.stamp["real"]["images"], 9) << figure.name;
    }
  }
}

TEST_F(Evaluate, ProtocolsDiffer) {
  write_samples(options_.fake, pictures(8, 2));
  write_samples(options_.real, pictures(8, 3));
  std::vector<double> values;
  for (const std::string& name : protocol_names()) {
    options_.inception.protocol = protocol_from_name(name);
    values.push_back(evaluate(options_).figures[0].value);
    EXPECT_EQ(evaluate(options_).figures[0].stamp["protocol"], name);
  }
  EXPECT_NE(values[0], values[1]);
  EXPECT_NE(values[0], values[2]);
  EXPECT_NE(values[1], values[2]);
  expect_error<ConfigError>([] { protocol_from_name("fid"); }, "known: pytorch-fid, adm, clean");
}

TEST_F(Evaluate, SavedStatisticsStandForTheirImages) {
  write_samples(options_.fake, pictures(8, 4));
  write_samples(options_.real, pictures(9, 5));
  options_.save_stats = folder_ / "stats.npz";
  const double whole = evaluate(options_).figures[0].value;
  options_.real = options_.save_stats;
  options_.save_stats = "";
  const Evaluation again = evaluate(options_);
  EXPECT_NEAR(again.figures[0].value, whole, 1e-9 * whole);
  EXPECT_EQ(again.figures[0].stamp["real"]["kind"], "saved statistics");
  EXPECT_EQ(again.figures[0].stamp["real"]["images"], 9);
  options_.metrics = {"kid"};
  expect_error<ConfigError>([&] { evaluate(options_); }, "kid needs images, not their statistics alone: ");
  options_.metrics = {"fid"};
  options_.fake = options_.real;  // no network is needed
  options_.inception.weights = folder_ / "none";
  EXPECT_EQ(evaluate(options_).figures[0].name, "FID(saved statistics)");
  EXPECT_NEAR(evaluate(options_).figures[0].value, 0, 1e-9);
  const Gaussian other{.mean = Tensor::zeros({3}, DType::kF64), .covariance = Tensor::zeros({3, 3}, DType::kF64)};
  write_statistics(folder_ / "other.npz", {.features = other, .spatial = std::nullopt});
  options_.fake = folder_ / "other.npz";
  expect_error<ConfigError>([&] { evaluate(options_); }, "the two sides do not fit: 3 features of ");
  options_.metrics = {"sfid"};
  options_.fake = options_.real;
  expect_error<ConfigError>([&] { evaluate(options_); }, "sfid needs mu_s and sigma_s, which ");
}

// As the ADM evaluator's references: statistics of a whole set, and some of its images.
TEST_F(Evaluate, StatisticsWithImagesBesideThem) {
  write_samples(options_.fake, pictures(8, 4));
  write_samples(options_.real, pictures(30, 5));
  options_.save_stats = folder_ / "stats.npz";
  const double whole = evaluate(options_).figures[0].value;
  options_.save_stats = "";
  const ImageStatistics statistics = read_statistics(folder_ / "stats.npz");
  const Tensor few = pictures(30, 5).slice(0, 0, 6).contiguous();
  options_.real = folder_ / "both.npz";
  NpzWriter npz(options_.real);
  for (const auto& [name, value] : {std::pair<std::string, Tensor>("arr_0", few),
                                    {"mu", statistics.features.mean},
                                    {"sigma", statistics.features.covariance}}) {
    npz.begin(name, value.dtype(), value.shape());
    npz.append(value);
  }
  npz.commit();
  options_.metrics = {"fid", "pr"};
  const Evaluation result = evaluate(options_);
  EXPECT_NEAR(result.figures[0].value, whole, 1e-9 * whole);
  EXPECT_TRUE(result.figures[0].stamp["real"]["images"].is_null());
  EXPECT_EQ(result.figures[1].stamp["images_compared"], Json({8, 6}));
}

TEST_F(Evaluate, OneBadFileStopsUnlessSkipped) {
  const Tensor images = pictures(7, 6);
  options_.fake = folder_ / "pngs";
  make_folder(options_.fake);
  for (int64_t i = 0; i < 7; ++i) { write_png(cat(options_.fake, "/", i, ".png"), images.select(0, i)); }
  write_file(options_.fake + "/3.png", "no picture");
  write_samples(options_.real, images);
  expect_error<IoError>([&] { evaluate(options_); }, "3.png: neither a JPEG nor a PNG file");
  options_.skip_bad = true;
  const Evaluation result = evaluate(options_);
  EXPECT_EQ(result.bad.size(), 1U);
  EXPECT_EQ(result.figures[0].stamp["fake"]["skipped_bad_files"], 1);
  EXPECT_EQ(result.figures[0].stamp["fake"]["images"], 6);
  EXPECT_NE(result.figures[0].line().find("; 1 bad file skipped;"), std::string::npos);
  EXPECT_NE(result.json()["bad_files"][0].get<std::string>().find("3.png"), std::string::npos);
}

/// Every kind of file that pictures come in, beside the same pictures as plain RGB files of the same odd sizes.
TEST_F(Evaluate, TakesEveryKindOfPicture) {
  const std::string odd = folder_ / "odd", plain = folder_ / "plain";
  for (const std::string& path : {odd, plain}) { make_folder(path); }
  const Tensor grey = smooth_picture(9, 14).slice(2, 0, 1).contiguous();
  Tensor cmyk = Tensor::full({8, 8, 4}, 200, DType::kU8);
  cmyk.slice(2, 1, 2).fill_(90);
  write_jpeg(odd + "/grey.jpg", grey);
  write_jpeg(odd + "/cmyk.jpeg", cmyk);
  write_raw_png(odd + "/deep.png", 1, 2, 16, PNG_COLOR_TYPE_RGB, {{200, 0, 10, 0, 30, 0, 1, 255, 99, 0, 0, 128}});
  write_raw_png(odd + "/alpha.png", 1, 2, 8, PNG_COLOR_TYPE_RGB_ALPHA, {{10, 20, 30, 0, 200, 100, 50, 128}});
  write_raw_png(odd + "/palette.png", 1, 2, 8, PNG_COLOR_TYPE_PALETTE, {{1, 0}}, {10, 20, 30, 40, 50, 60});
  for (const auto& entry : std::filesystem::directory_iterator(odd)) {
    write_png(cat(plain, "/", entry.path().stem().string(), ".png"), read_image(entry.path().string()));
  }
  options_.fake = odd;
  options_.real = plain;
  const Evaluation result = evaluate(options_);
  EXPECT_NEAR(result.figures[0].value, 0, 1e-9);
  EXPECT_EQ(result.figures[0].stamp["fake"]["images"], 5);
  // In the order of their names: alpha, cmyk, deep, grey, palette.
  const auto source = open_image_source(odd);
  EXPECT_SAME(source->image(0).select(0, 0).select(0, 0), Tensor::full({3}, 255, DType::kU8));  // transparent: white
  EXPECT_EQ(source->image(2).data<uint8_t>()[0], 199);                                          // 0xc800 of 0xffff
  EXPECT_EQ(source->image(3).shape(), (Shape{9, 14, 3}));
  EXPECT_EQ(source->image(4).data<uint8_t>()[0], 40);
}

TEST_F(Evaluate, NamesASetWithoutImages) {
  make_folder(folder_ / "empty");
  write_samples(options_.real, pictures(4, 1));
  options_.fake = folder_ / "empty";
  expect_error<IoError>([&] { evaluate(options_); }, cat("cannot read ", options_.fake, ": it holds no .png"));
  options_.fake = folder_ / "none.npz";
  expect_error<IoError>([&] { evaluate(options_); }, "none.npz: No such file");
  options_.fake = folder_ / "flat.npz";
  write_samples(options_.fake, Tensor::zeros({4, 12, 16}, DType::kU8));
  expect_error<IoError>([&] { evaluate(options_); }, "flat.npz");
}

TEST_F(Evaluate, ClassByClass) {
  const Tensor images = pictures(12, 7);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 12; ++i) { labels.push_back(i < 5 ? 0 : i < 11 ? 1 : 2); }
  write_samples(options_.fake, images, Tensor::from(labels, {12}));
  write_samples(options_.real, images, Tensor::from(labels, {12}));
  options_.per_class = true;
  const Evaluation result = evaluate(options_);
  ASSERT_EQ(result.classes.size(), 3U);
  EXPECT_EQ(result.classes[1].fake, 6);
  EXPECT_NEAR(result.classes[0].value, 0, 1e-9);
  EXPECT_TRUE(std::isnan(result.classes[2].value));  // one image has no covariance
  EXPECT_TRUE(result.json()["classes"][2]["value"].is_null());
  write_samples(options_.fake, images);
  expect_error<ConfigError>([&] { evaluate(options_); }, "fake.npz does not tell the class of its images");
}

TEST_F(Evaluate, OnADeviceTheFiguresAreTheCpusAndSayWhatComputedThem) {
  write_samples(options_.fake, pictures(2, 2));
  write_samples(options_.real, pictures(3, 3));
  const Figure expected = evaluate(options_).figures.at(0);
  options_.inception.placement.device = device_from_name("cuda-host");
  const Figure figure = evaluate(options_).figures.at(0);
  EXPECT_NEAR(figure.value, expected.value, 1e-4 * expected.value);
  EXPECT_EQ(figure.stamp["device"], "cuda-host");
  EXPECT_EQ(expected.stamp["device"], "cpu");
  options_.inception.placement.dtype = DType::kBF16;
  const Figure narrow = evaluate(options_).figures.at(0);
  EXPECT_NEAR(narrow.value, expected.value, 0.05 * expected.value);
  EXPECT_EQ(narrow.stamp["dtype"], "bf16 network, f64 statistics");
  EXPECT_NE(narrow.stamp_line.find("level 64; bf16, f64; N 2 / 3"), std::string::npos) << narrow.stamp_line;
}

TEST_F(Evaluate, RefusesWhatItCannotDo) {
  write_samples(options_.fake, pictures(1, 8));
  write_samples(options_.real, pictures(5, 9));
  expect_error<Error>([&] { evaluate(options_); }, "a set of 1 image has no covariance");
  write_samples(options_.fake, pictures(4, 8));
  options_.inception.level = 768;
  expect_error<ConfigError>([&] { evaluate(options_); }, "level 768 cannot be computed");
  options_.inception.level = 64;
  options_.metrics = {"is"};
  expect_error<ConfigError>([&] { evaluate(options_); }, "the logits cannot be computed");
  options_.metrics = {"beauty"};
  expect_error<ConfigError>([&] { evaluate(options_); }, "--metrics: \"beauty\"; known: fid, sfid, is, kid, pr, dc");
  options_.metrics = {"pr"};
  options_.manifold.k_precision = 4;
  expect_error<ConfigError>([&] { evaluate(options_); }, "the 4-th nearest other image of 4");
  options_.real = "";
  expect_error<ConfigError>([&] { evaluate(options_); }, "--real is missing");
}

TEST(LevelName, IsPlainForTheWholeNetworkAlone) {
  EXPECT_EQ(level_name("FID", 2048, true), "FID");
  EXPECT_EQ(level_name("FID", 768, true), "FID(768)");
  EXPECT_EQ(level_name("FID", 768, false), "FID(768)");
  EXPECT_EQ(level_name("KID", 2048, false), "KID(2048, partial weights)");
}

TEST(SelfCheck, Passes) {
  for (const SelfCheck& check : self_check()) { EXPECT_TRUE(check.passed) << check.what << ": " << check.value; }
}

TEST(EvaluateProgram, PrintsFiguresAndRefusesInOneLine) {
  const TemporaryFolder folder;
  const std::string program = program_path("evaluate").string();
  EXPECT_EQ(run_command(program + " --self-check").status, 0);
  write_first_layers(folder / "w.safetensors");
  write_samples(folder / "a.npz", pictures(5, 10));
  const std::string sides = cat(" --fake ", folder / "a.npz", " --real ", folder / "a.npz", " --cache none --weights ",
                                folder / "w.safetensors");
  const CommandResult good = run_command(program + sides + " --features 64 --json " + (folder / "o.json"));
  EXPECT_EQ(good.status, 0) << good.output;
  EXPECT_NE(good.output.find("FID(64) "), std::string::npos) << good.output;
  EXPECT_EQ(read_json_file(folder / "o.json")["figures"][0]["name"], "FID(64)");
  for (const char* side : {"fake, network  100%  5/5 images", "real, network  100%  5/5 images"}) {
    EXPECT_NE(good.output.find(side), std::string::npos) << good.output;
  }
  const CommandResult again = run_command(program + sides + " --features 64 --json " + (folder / "o.json"));
  EXPECT_EQ(again.status, 2);
  EXPECT_EQ(again.output, "evaluate: error: " + folder / "o.json" +
                              " is there already; add --overwrite to replace it, or give another name with --json\n");
  const CommandResult three =
      run_command(program + sides + " --features 64 --limit 3 --real-limit 4 --out " + (folder / "out"));
  EXPECT_NE(three.output.find("N 3 of 5 / 4 of 5;"), std::string::npos) << three.output;
  EXPECT_EQ(read_json_file(folder / "out/run.json")["results"]["figures"][0]["name"], "FID(64)");
  EXPECT_EQ(run_command(program + sides + " --features 64 --out " + (folder / "out")).status, 2);
  const std::string help = run_command(program + " --help").output;
  EXPECT_NE(help.find("What it costs"), std::string::npos);
  for (const Metric& metric : metrics()) { EXPECT_FALSE(metric.cost.empty()) << metric.name; }
  const CommandResult bad = run_command(program + sides);
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.output.find("level 2048 cannot be computed"), std::string::npos) << bad.output;
  const CommandResult narrow = run_command(program + sides + " --features 64 --dtype bf16");
  EXPECT_EQ(narrow.status, 2);
  EXPECT_EQ(
      narrow.output,
      "evaluate: error: inception: on the CPU it computes in f32, not in bf16; in bf16 on a GPU, --device cuda\n");
}

/// Distances of 1,000 training and 1,000 test images of CIFAR-100 under the real weights, against pytorch-fid's.
TEST(EvaluateRealImages, AreAtThePublishedImplementationsDistances) {
  SKIP_WITHOUT_DATA(weights, "inception/inception_fid_to_mixed_6e.safetensors");
  SKIP_WITHOUT_DATA(train, "cifar100-binary/train.bin");
  SKIP_WITHOUT_DATA(test, "cifar100-binary/test.bin");
  const TemporaryFolder folder;
  EvaluationOptions options;
  for (const auto& [file, side] : {std::pair(train, &options.fake), std::pair(test, &options.real)}) {
    Tensor images, labels;
    decode_cifar100(read_file(file), 0, 1000, images, labels);
    *side = folder / std::filesystem::path(file).stem().string() + ".npz";
    write_samples(*side, images);
  }
  options.inception.weights = weights;
  const GoldenFile golden("inception_real.h5");
  for (const int64_t level : {64, 192, 768}) {
    options.inception.level = level;
    options.metrics = level == 768 ? std::vector<std::string>{"fid", "sfid"} : std::vector<std::string>{"fid"};
    const Evaluation result = evaluate(options);
    const double expected = golden.read(cat("reference/fid_", level)).item<double>();
    EXPECT_NEAR(result.figures[0].value, expected, 1e-3 * expected) << level;
    if (level != 768) { continue; }
    const double spatial = golden.read("reference/sfid_2023").item<double>();
    EXPECT_NEAR(result.figures[1].value, spatial, 1e-3 * spatial);
  }
}

}  // namespace
}  // namespace terrace
