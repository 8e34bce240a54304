// Statistics files, images through a network, the cache of references.
#include "metrics/collect.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>

#include "data/files/atomic_file.h"
#include "data/formats/npz.h"
#include "data/images/image_file.h"
#include "metrics/reference_cache.h"
#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

Tensor pictures(int64_t count, uint64_t seed) {
  Generator g(seed, 0);
  return randint(256, {count, 6, 5, 3}, g).to(DType::kU8);
}

/// Features by hand: the first four bytes of a picture, halved; the next two as spatial features and logits.
struct Toy {
  std::shared_ptr<std::atomic<int64_t>> seen = std::make_shared<std::atomic<int64_t>>(0);
  FeatureNetwork network;
  Toy() {
    const auto counter = seen;
    network = {.identity = "toy",
               .dim = 4,
               .prepare = [](const Tensor& image) { return image.flatten().slice(0, 0, 6).to(DType::kF32); },
               .run =
                   [counter](const Tensor& batch) {
                     *counter += batch.dim(0);
                     Tensor features = batch.slice(1, 0, 4).clone();
                     for (int64_t i = 0; i < features.numel(); ++i) { features.data<float>()[i] /= 2; }
                     return Activations{
                         .features = features, .spatial = batch.slice(1, 4, 6), .logits = batch.slice(1, 4, 6)};
                   }};
  }
};

Tensor expected_features(const Tensor& images) {
  const Tensor flat = images.reshape({images.dim(0), 90}).slice(1, 0, 4).to(DType::kF64);
  Tensor half = flat.clone();
  for (int64_t i = 0; i < half.numel(); ++i) { half.data<double>()[i] /= 2; }
  return half;
}

TEST(Collect, GivesMomentsAndRowsInOrderWhateverTheBatch) {
  const Tensor images = pictures(23, 1);
  const auto source = image_source_of(images);
  for (const int64_t batch : {1, 8, 64}) {
    const Toy toy;
    int64_t last = 0;
    const Collected got =
        collect(*source, toy.network,
                {.batch = batch, .features = KeepRows::kYes, .progress = [&](int64_t done, int64_t total) {
                   EXPECT_EQ(total, 23);
                   last = done;
                 }});
    EXPECT_EQ(last, 23);
    EXPECT_EQ(got.count, 23);
    EXPECT_SAME(got.features->read(0, 23), expected_features(images));
    EXPECT_SAME(got.statistics.features.covariance, gaussian_of(expected_features(images)).covariance);
    EXPECT_EQ(got.statistics.spatial->dim(), 2);
    EXPECT_EQ(got.logits->size(), 23);
    EXPECT_EQ(got.content_hash, content_hash_of(*source).text);
    EXPECT_EQ(got.labels, std::vector<int64_t>(23, -1));
  }
  EXPECT_NE(content_hash_of(*source).text, content_hash_of(*image_source_of(pictures(23, 2))).text);
}

TEST(Collect, ImagesOfSeveralShapesGoThroughTheNetworkInOrder) {
  const TemporaryFolder folder;
  std::vector<int64_t> rows = {4, 4, 7, 4, 9, 9, 9};
  for (size_t i = 0; i < rows.size(); ++i) {
    write_png(cat(folder.path(), "/", i, ".png"), Tensor::full({rows[i], 5, 3}, static_cast<double>(i), DType::kU8));
  }
  std::vector<int64_t> batches;
  const FeatureNetwork network{.identity = "mean",
                               .dim = 1,
                               .prepare = [](const Tensor& image) { return image; },
                               .run =
                                   [&](const Tensor& batch) {
                                     batches.push_back(batch.dim(0));
                                     return Activations{
                                         .features = batch.to(DType::kF32).select(1, 0).select(1, 0).slice(1, 0, 1),
                                         .spatial = {},
                                         .logits = {}};
                                   }};
  const Collected got = collect(*open_image_source(folder.path()), network, {.batch = 6, .features = KeepRows::kYes});
  EXPECT_EQ(batches, (std::vector<int64_t>{2, 1, 1, 2, 1}));
  EXPECT_EQ(got.features->read(0, 7).to_vector<double>(), (std::vector<double>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(Collect, MomentsOfANetworkOnADeviceAreSummedThere) {
  const Tensor images = pictures(300, 1);
  const Toy toy;
  FeatureNetwork there = toy.network;
  there.device = device_from_name("cuda-host");
  there.run = [run = toy.network.run, device = there.device](const Tensor& batch) {
    const Activations a = run(batch);
    return Activations{
        .features = a.features.to(device), .spatial = a.spatial.to(device), .logits = a.logits.to(device)};
  };
  const Collected expected = collect(*image_source_of(images), toy.network, {.features = KeepRows::kYes});
  const Collected actual = collect(*image_source_of(images), there, {.features = KeepRows::kYes});
  EXPECT_SAME(actual.features->read(0, 300), expected.features->read(0, 300));
  EXPECT_SAME(actual.logits->read(0, 300), expected.logits->read(0, 300));
  EXPECT_CLOSE(actual.statistics.features.mean, expected.statistics.features.mean, 1e-13);
  EXPECT_CLOSE(actual.statistics.features.covariance, expected.statistics.features.covariance, 1e-12);
  EXPECT_CLOSE(actual.statistics.spatial->covariance, expected.statistics.spatial->covariance, 1e-12);

  const TemporaryFolder folder;
  const auto log = ActivationLog::open(folder / "log", "key");
  log->append(there.run(images.slice(0, 0, 100).reshape({100, 90}).slice(1, 0, 6).to(DType::kF32)));
  const Collected resumed =
      collect(*image_source_of(images), there, {.features = KeepRows::kYes}, actual.content_hash, *log);
  EXPECT_SAME(resumed.statistics.features.covariance, actual.statistics.features.covariance);
}

TEST(Collect, HashIsOfThePixelsWhateverFileHoldsThem) {
  const TemporaryFolder folder;
  const Tensor images = pictures(3, 3);
  for (int64_t i = 0; i < 3; ++i) { write_png(cat(folder.path(), "/", i, ".png"), images.select(0, i)); }
  EXPECT_EQ(content_hash_of(*open_image_source(folder.path())).text, content_hash_of(*image_source_of(images)).text);
}

TEST(Collect, StopsAtABadFileUnlessTheyAreSkipped) {
  const TemporaryFolder folder;
  const Tensor images = pictures(5, 4);
  for (int64_t i = 0; i < 5; ++i) { write_png(cat(folder.path(), "/", i, ".png"), images.select(0, i)); }
  const std::string whole = read_file(folder / "2.png");
  write_file(folder / "2.png", whole.substr(0, whole.size() / 2));
  const auto source = open_image_source(folder.path());
  const Toy toy;
  expect_error<IoError>([&] { collect(*source, toy.network, {.batch = 2}); }, "2.png: the file is truncated");
  expect_error<IoError>([&] { content_hash_of(*source); }, "2.png: the file is truncated");
  const Collected got =
      collect(*source, toy.network, {.batch = 2, .features = KeepRows::kYes, .bad_files = BadFiles::kSkip});
  ASSERT_EQ(got.bad.size(), 1U);
  EXPECT_NE(got.bad[0].reason.find("2.png"), std::string::npos);
  EXPECT_EQ(got.count, 4);
  EXPECT_SAME(got.features->read(2, 3), expected_features(images.slice(0, 3, 4)));
  EXPECT_EQ(got.content_hash, content_hash_of(*source, BadFiles::kSkip).text);
  EXPECT_EQ(content_hash_of(*source, BadFiles::kSkip).bad.size(), 1U);
}

TEST(Collect, RefusesASetWithoutCovariance) {
  const Toy toy;
  expect_error<Error>([&] { collect(*image_source_of(pictures(1, 5)), toy.network, {}); },
                      "a set of 1 image has no covariance; two or more are needed");
  expect_error<ConfigError>([&] { collect(*image_source_of(pictures(1, 5)), toy.network, {.batch = 0}); },
                            "a batch of 0");
}

TEST(ReferenceCache, RunsTheNetworkOnce) {
  const TemporaryFolder folder;
  const ReferenceCache cache(folder / "cache");
  const Tensor labels = Tensor::from(std::vector<int64_t>{2, 0, 1, 1, 0, 2, 2}, {7});
  const auto source = image_source_of(pictures(7, 6), labels);
  const Toy toy;
  const Collected first = collect_cached(*source, toy.network, {.features = KeepRows::kYes}, cache);
  EXPECT_EQ(*toy.seen, 7);
  const Collected again = collect_cached(*source, toy.network, {.features = KeepRows::kYes}, cache);
  EXPECT_EQ(*toy.seen, 7);
  EXPECT_EQ(again.count, 7);
  EXPECT_EQ(again.labels, first.labels);
  EXPECT_SAME(again.statistics.features.covariance, first.statistics.features.covariance);
  EXPECT_SAME(again.statistics.spatial->mean, first.statistics.spatial->mean);
  EXPECT_SAME(again.features->read(1, 6), first.features->read(1, 6));
  EXPECT_SAME(again.logits->read(0, 7), first.logits->read(0, 7));

  FeatureNetwork other = toy.network;
  other.identity = "toy, another level";
  collect_cached(*source, other, {}, cache);
  EXPECT_EQ(*toy.seen, 14);
  collect_cached(*source, other, {.features = KeepRows::kYes}, cache);  // kept without rows, now with
  EXPECT_EQ(*toy.seen, 21);
  collect_cached(*source, other, {.features = KeepRows::kYes}, cache);
  EXPECT_EQ(*toy.seen, 21);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "cache")) {
    write_file(entry.path().string(), "damaged");
  }
  EXPECT_EQ(collect_cached(*source, other, {}, cache).count, 7);
  EXPECT_EQ(*toy.seen, 28);
}

TEST(ReferenceCache, AnInterruptedPassGoesOnWhereItStopped) {
  const TemporaryFolder folder;
  const ReferenceCache cache(folder / "cache");
  std::vector<int64_t> classes(700);
  for (size_t i = 0; i < classes.size(); ++i) { classes[i] = static_cast<int64_t>(i % 5); }
  const auto source = image_source_of(pictures(700, 8), Tensor::from(classes, {700}));
  const Toy toy;
  CollectOptions options{.batch = 8, .features = KeepRows::kYes};
  const Collected whole = collect(*source, toy.network, options);
  int64_t stop = 301;  // not at the end of a block of the moments
  options.progress = [&](int64_t done, int64_t) {
    if (done >= stop) { throw Error("stopped"); }
  };
  *toy.seen = 0;
  for (stop = 301; stop <= 700; stop += 120) {
    expect_error<Error>([&] { collect_cached(*source, toy.network, options, cache); }, "stopped");
  }
  EXPECT_LT(*toy.seen, 700);
  // A record that a killed process left half written does not count.
  std::string log;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "cache")) { log = entry.path().string(); }
  std::filesystem::resize_file(log, std::filesystem::file_size(log) - 5);
  options.progress = {};
  const Collected got = collect_cached(*source, toy.network, options, cache);
  EXPECT_EQ(*toy.seen, 701);
  EXPECT_SAME(got.statistics.features.covariance, whole.statistics.features.covariance);
  EXPECT_SAME(got.statistics.spatial->mean, whole.statistics.spatial->mean);
  EXPECT_SAME(got.features->read(0, 700), whole.features->read(0, 700));
  EXPECT_SAME(got.logits->read(0, 700), whole.logits->read(0, 700));
  EXPECT_EQ(got.labels, classes);
  EXPECT_EQ(got.content_hash, whole.content_hash);
  EXPECT_FALSE(std::filesystem::exists(log));
}

TEST(ActivationLog, IsOfOneKeyAndOneWriter) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.part";
  const Activations some{.features = random_tensor({3, 4}, 1), .spatial = {}, .logits = random_tensor({3, 2}, 2)};
  {
    const auto log = ActivationLog::open(path, "one");
    EXPECT_EQ(log->size(), 0);
    log->append(some);
    EXPECT_EQ(ActivationLog::open(path, "one"), nullptr);  // locked
    expect_error<ShapeError>(
        [&] {
          log->append({.features = random_tensor({1, 3}, 1), .spatial = {}, .logits = random_tensor({1, 2}, 2)});
        },
        "activations: a part must be (1, 4)");
  }
  {
    const auto log = ActivationLog::open(path, "one");
    ASSERT_EQ(log->size(), 3);
    EXPECT_SAME(log->read(1, 3).features, some.features.slice(0, 1, 3));
    EXPECT_SAME(log->read(0, 3).logits, some.logits);
    EXPECT_FALSE(log->read(0, 3).spatial.defined());
    expect_error<IndexError>([&] { log->read(1, 4); }, "activations [1, 4) of 3");
  }
  EXPECT_EQ(ActivationLog::open(path, "another")->size(), 0);
  expect_error<IoError>([&] { ActivationLog::open(folder / "none/a.part", "one"); }, "cannot write ");
}

TEST(ReferenceCache, RemovesLogsThatNobodyWentOnWith) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const ReferenceCache cache(folder.path());
  const auto in_use = cache.log("in use", "net");
  const fs::path log_in_use = fs::directory_iterator(folder.path())->path();
  for (const char* name : {"reference-old.h5.part", "reference-new.h5.part", "mine.h5.part", "reference-old.h5"}) {
    std::ofstream(folder / name) << "x";
  }
  const auto days_ago = [](int days) { return fs::file_time_type::clock::now() - std::chrono::hours(24 * days); };
  for (const char* name : {"reference-old.h5.part", "mine.h5.part", "reference-old.h5"}) {
    fs::last_write_time(folder / name, days_ago(31));
  }
  fs::last_write_time(folder / "reference-new.h5.part", days_ago(29));
  fs::last_write_time(log_in_use, days_ago(31));
  cache.log("another", "net");
  EXPECT_FALSE(fs::exists(folder / "reference-old.h5.part"));
  for (const char* name : {"reference-new.h5.part", "mine.h5.part", "reference-old.h5"}) {
    EXPECT_TRUE(fs::exists(folder / name)) << name;
  }
  EXPECT_TRUE(fs::exists(log_in_use)) << "a process has it open";
}

TEST(ReferenceCache, KeepsNothingWithoutAFolderAndNamesOneItCannotWrite) {
  const TemporaryFolder folder;
  const auto source = image_source_of(pictures(3, 7));
  const Toy toy;
  collect_cached(*source, toy.network, {}, ReferenceCache(""));
  collect_cached(*source, toy.network, {}, ReferenceCache(""));
  EXPECT_EQ(*toy.seen, 6);
  write_file(folder / "file", "x");
  expect_error<IoError>([&] { collect_cached(*source, toy.network, {}, ReferenceCache(folder / "file/below")); },
                        "cannot write");
}

Gaussian gaussian(int64_t dim, uint64_t seed) {
  return gaussian_of(random_tensor({40, dim}, seed, -1, 1, DType::kF64));
}

TEST(StatisticsFile, ReadsWhatItWrites) {
  const TemporaryFolder folder;
  const ImageStatistics one{.features = gaussian(5, 1), .spatial = gaussian(3, 2)};
  write_statistics(folder / "s.npz", one);
  EXPECT_TRUE(is_statistics_file(folder / "s.npz"));
  const ImageStatistics got = read_statistics(folder / "s.npz");
  EXPECT_SAME(got.features.mean, one.features.mean);
  EXPECT_SAME(got.features.covariance, one.features.covariance);
  EXPECT_SAME(got.spatial->covariance, one.spatial->covariance);
  EXPECT_EQ(got.features.count, 40);
  write_statistics(folder / "t.npz", {.features = gaussian(5, 1), .spatial = std::nullopt});
  EXPECT_FALSE(read_statistics(folder / "t.npz").spatial);
}

/// Statistics without a count, f32 where asked, as other programs write them.
void write_npz(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& arrays) {
  NpzWriter npz(path);
  for (const auto& [name, value] : arrays) {
    npz.begin(name, value.dtype(), value.shape());
    npz.append(value);
  }
  npz.commit();
}

TEST(StatisticsFile, OfOtherProgramsAndDamagedOnes) {
  const TemporaryFolder folder;
  const Gaussian g = gaussian(3, 3);
  const std::string path = folder / "s.npz";
  write_npz(path, {{"mu", g.mean.to(DType::kF32)}, {"sigma", g.covariance}});
  EXPECT_EQ(read_statistics(path).features.count, 0);
  EXPECT_CLOSE(read_statistics(path).features.mean, g.mean, 1e-7);
  write_npz(path, {{"mu", g.mean}});
  EXPECT_TRUE(is_statistics_file(path));
  expect_error<IoError>([&] { read_statistics(path); }, cat("cannot read ", path, ": statistics without sigma"));
  write_npz(path, {{"mu", g.mean}, {"sigma", gaussian(4, 4).covariance}});
  expect_error<IoError>([&] { read_statistics(path); }, "mu must be (d) and sigma (d, d), got (3,) and (4, 4)");
  Tensor bad = g.covariance.clone();
  bad.data<double>()[4] = std::numeric_limits<double>::quiet_NaN();
  write_npz(path, {{"mu", g.mean}, {"sigma", bad}});
  expect_error<IoError>([&] { read_statistics(path); }, cat(path, ": sigma holds values that are not finite"));
  bad = g.covariance.clone();
  bad.data<double>()[1] += 1;
  write_npz(path, {{"mu", g.mean}, {"sigma", bad}});
  expect_error<IoError>([&] { read_statistics(path); }, "sigma is not symmetric: elements (1, 0) and (0, 1)");
  write_npz(path, {{"mu", g.mean}, {"sigma", g.covariance}, {"mu_s", g.mean}});
  expect_error<IoError>([&] { read_statistics(path); }, "statistics without sigma_s");
  write_npz(path, {{"arr_0", g.mean}});
  EXPECT_FALSE(is_statistics_file(path));
  expect_error<IoError>([&] { is_statistics_file(folder / "none.npz"); }, "none.npz");
}

}  // namespace
}  // namespace terrace
