#include "data/datasets/loader.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "tests/support.h"

namespace terrace {
namespace {

/// Pictures that tell which one they are: picture i holds i in its first pixel and a ramp to the right.
std::string numbered(const TemporaryFolder& folder, int64_t count) {
  Tensor images = Tensor::zeros({count, 4, 6, 3}, DType::kU8);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    uint8_t* image = images.data<uint8_t>() + i * 4 * 6 * 3;
    for (int64_t p = 0; p < 24; ++p) {
      image[3 * p] = static_cast<uint8_t>(i);
      image[3 * p + 1] = static_cast<uint8_t>(p % 6);
      image[3 * p + 2] = static_cast<uint8_t>(p / 6);
    }
    labels.push_back(i % 5);
  }
  create_dataset(folder / "n.h5", "train", images, Tensor::from(labels, {count}), {"0", "1", "2", "3", "4"},
                 "numbered");
  return folder / "n.h5";
}

TEST(EpochOrder, IsAPermutationBySeedAndEpoch) {
  std::vector<int64_t> sorted = epoch_order(1000, 7, 3);
  EXPECT_EQ(sorted, epoch_order(1000, 7, 3));
  EXPECT_NE(sorted, epoch_order(1000, 7, 4));
  EXPECT_NE(sorted, epoch_order(1000, 8, 3));
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
}

TEST(Loader, EveryImageOnceAnEpochWithItsLabel) {
  const TemporaryFolder folder;
  Loader loader(ImageDataset::open(numbered(folder, 103)),
                {.batch = 10, .seed = 1, .format = ImageFormat::kBytes, .last = LastBatch::kKeep});
  EXPECT_EQ(loader.steps_per_epoch(), 11);
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t> seen;
    for (int64_t step = 0; step < 11; ++step) {
      const Batch batch = loader.next();
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.step, step);
      const int64_t B = step < 10 ? 10 : 3;
      EXPECT_EQ(batch.images.shape(), (Shape{B, 4, 6, 3}));
      for (int64_t b = 0; b < B; ++b) {
        const int64_t index = batch.indices.data<int64_t>()[b];
        EXPECT_EQ(batch.images.data<uint8_t>()[b * 72], index);
        EXPECT_EQ(batch.labels.data<int64_t>()[b], index % 5);
        seen.push_back(index);
      }
    }
    EXPECT_EQ(seen, epoch_order(103, 1, epoch));
  }
}

TEST(Loader, WorkersTimingPreloadAndResumingDoNotMatter) {
  const TemporaryFolder folder;
  const ImageDataset data = ImageDataset::open(numbered(folder, 50));
  const LoaderOptions plain{.batch = 8, .seed = 5, .workers = 0, .flip = Flip::kRandom};
  std::vector<Batch> expected;
  Loader reference(data, plain);
  for (int i = 0; i < 20; ++i) { expected.push_back(reference.next()); }
  for (const int workers : {1, 2, 5}) {
    for (const Preload preload : {Preload::kNo, Preload::kYes}) {
      LoaderOptions options = plain;
      options.workers = workers;
      options.preload = preload;
      options.ahead = workers == 2 ? 1 : 6;
      const int64_t skipped = workers;  // resumed there
      options.epoch = skipped / reference.steps_per_epoch();
      options.step = skipped % reference.steps_per_epoch();
      Loader loader(data, options);
      for (int64_t i = skipped; i < 20; ++i) {
        const Batch batch = loader.next();
        const Batch& right = expected[static_cast<size_t>(i)];
        EXPECT_SAME(batch.images, right.images);
        EXPECT_SAME(batch.labels, right.labels);
        EXPECT_EQ(batch.epoch, right.epoch);
        EXPECT_EQ(batch.step, right.step);
        if (i % 7 == 0) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }
      }
    }
  }
}

TEST(Loader, FlipsHalfOfTheImagesAndOthersEachEpoch) {
  const TemporaryFolder folder;
  Loader loader(ImageDataset::open(numbered(folder, 200)),
                {.batch = 200, .format = ImageFormat::kBytes, .order = Order::kSequential, .flip = Flip::kRandom});
  const auto flipped = [&] {
    const Batch batch = loader.next();
    std::vector<bool> which;
    for (int64_t b = 0; b < 200; ++b) {
      const uint8_t* image = batch.images.data<uint8_t>() + b * 72;
      which.push_back(image[1] == 5);
      EXPECT_TRUE(image[1] == 5 || image[1] == 0);
      EXPECT_EQ(image[3 * 5 + 1], image[1] == 5 ? 0 : 5);
      EXPECT_EQ(image[3 * 6 + 2], 1);  // rows stay
    }
    return which;
  };
  const std::vector<bool> first = flipped(), second = flipped();
  EXPECT_NEAR(static_cast<double>(std::count(first.begin(), first.end(), true)), 100, 30);
  EXPECT_NE(first, second);
}

TEST(Loader, FloatsAreNchwFromMinusOneToOne) {
  const TemporaryFolder folder;
  Loader loader(ImageDataset::open(numbered(folder, 3)), {.batch = 3, .order = Order::kSequential});
  const Batch batch = loader.next();
  EXPECT_EQ(batch.images.shape(), (Shape{3, 3, 4, 6}));
  EXPECT_EQ(batch.images.dtype(), DType::kF32);
  const float* value = batch.images.data<float>();
  EXPECT_FLOAT_EQ(value[0], -1);
  EXPECT_FLOAT_EQ(value[24 + 5], 5 / 127.5f - 1);
  EXPECT_FLOAT_EQ(value[72], 1 / 127.5f - 1);
}

TEST(Loader, RefusesWhatGivesNoBatch) {
  const TemporaryFolder folder;
  const ImageDataset data = ImageDataset::open(numbered(folder, 10));
  expect_error<ConfigError>([&] { Loader(data, {.batch = 11}); }, "has 10 images, which do not fill a batch of 11");
  expect_error<ConfigError>([&] { Loader(data, {.batch = 0}); }, "batch must be at least 1, got 0");
  expect_error<ConfigError>([&] { Loader(data, {.batch = 5, .step = 2}); }, "an epoch has 2 batches");
  expect_error<ConfigError>([&] { Loader(data, {.batch = 5, .workers = -1}); }, "workers");
  EXPECT_EQ(Loader(data, {.batch = 11, .last = LastBatch::kKeep}).next().images.dim(0), 10);
}

}  // namespace
}  // namespace terrace
