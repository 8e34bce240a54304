#include "data/datasets/cifar100.h"

#include <cmath>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

/// Records whose byte p of channel c is a function of picture, c and p.
std::string records(int64_t count) {
  std::string content;
  for (int64_t i = 0; i < count; ++i) {
    content += static_cast<char>(i % 20);
    content += static_cast<char>(i % 100);
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t p = 0; p < 1024; ++p) { content += static_cast<char>(i + 50 * c + p % 32); }
    }
  }
  return content;
}

const auto kQuiet = [](int64_t, int64_t) {};

TEST(Cifar100, ConvertsPlanesToPixels) {
  const TemporaryFolder folder;
  write_file(folder / "train.bin", records(30));
  write_file(folder / "test.bin", records(7));
  convert_cifar100(folder.path(), folder / "c.h5", CifarCount::kAny, Compression::kNone, kQuiet);
  const ImageDataset train = ImageDataset::open(folder / "c.h5"), test = ImageDataset::open(folder / "c.h5", "test");
  EXPECT_EQ(train.size(), 30);
  EXPECT_EQ(test.size(), 7);
  EXPECT_EQ(train.class_names(), cifar100_class_names());
  const Tensor image = train.image(29);
  for (int64_t p = 0; p < 1024; ++p) {
    for (int64_t c = 0; c < 3; ++c) { EXPECT_EQ(image.data<uint8_t>()[3 * p + c], 29 + 50 * c + p % 32); }
  }
  EXPECT_EQ(train.labels().to_vector<int64_t>()[29], 29);
}

TEST(Cifar100, ArchiveAndFolderAgree) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "cifar-100-binary");
  write_file(folder / "cifar-100-binary/train.bin", records(25));
  write_file(folder / "cifar-100-binary/test.bin", records(5));
  std::string names;
  for (int i = 0; i < 100; ++i) { names += cat("name ", i, "\n"); }
  write_file(folder / "cifar-100-binary/fine_label_names.txt", names);
  const CommandResult packed = run_command("cd " + folder.path() + " && tar czf c.tar.gz cifar-100-binary");
  ASSERT_EQ(packed.status, 0) << packed.output;
  const Cifar100Files a = read_cifar100(folder.path(), CifarCount::kAny);
  const Cifar100Files b = read_cifar100(folder / "c.tar.gz", CifarCount::kAny);
  EXPECT_EQ(a.train, b.train);
  EXPECT_EQ(a.test, b.test);
  EXPECT_EQ(a.class_names, b.class_names);
  EXPECT_EQ(a.class_names[99], "name 99");
  const std::string bytes = read_file(folder / "c.tar.gz");
  write_file(folder / "cut.tar.gz", bytes.substr(0, bytes.size() / 2));
  expect_error<IoError>([&] { read_cifar100(folder / "cut.tar.gz", CifarCount::kAny); },
                        "cannot read " + folder / "cut.tar.gz");
}

TEST(Cifar100, ChecksWhatItReads) {
  const TemporaryFolder folder;
  const auto reading = [&](CifarCount count) { return [&, count] { read_cifar100(folder.path(), count); }; };
  expect_error<IoError>(reading(CifarCount::kAny), "there is no train.bin in it");
  expect_error<IoError>([&] { read_cifar100(folder / "none"); }, "No such file or directory");
  write_file(folder / "test.bin", records(2));
  write_file(folder / "train.bin", records(2));
  expect_error<IoError>(reading(CifarCount::kPublished), "train.bin: 2 images; the published file has 50000");
  write_file(folder / "train.bin", records(2) + "x");
  expect_error<IoError>(reading(CifarCount::kAny), "not a whole number of records of 3074 bytes");
  std::string wrong = records(3);
  wrong[2 * 3074 + 1] = 100;
  write_file(folder / "train.bin", wrong);
  expect_error<IoError>(reading(CifarCount::kAny), "picture 2 has the labels 2 (coarse, below 20) and 100");
  write_file(folder / "text.tar.gz", "no archive at all");
  for (const char* no_archive : {"text.tar.gz", "train.bin"}) {
    expect_error<IoError>([&] { read_cifar100(folder / no_archive); },
                          "cannot read " + folder / no_archive +
                              " as an archive: Unrecognized archive format; give the folder with train.bin and "
                              "test.bin, or the .tar.gz");
  }
}

/// The real set, unpacked: TERRACE_TEST_DATA/cifar100-binary/train.bin and test.bin.
TEST(Cifar100, PublishedMeanAndDeviation) {
  SKIP_WITHOUT_DATA(path, "cifar100-binary/train.bin");
  const std::string content = read_file(path);
  ASSERT_EQ(static_cast<int64_t>(content.size()), kCifarTrainCount * kCifarRecord);
  std::vector<int> counts(100, 0);
  double sum[3] = {}, squares[3] = {};
  for (int64_t i = 0; i < kCifarTrainCount; ++i) {
    const auto* record = reinterpret_cast<const uint8_t*>(content.data()) + i * kCifarRecord;
    ++counts[record[1]];
    for (int64_t p = 0; p < 3072; ++p) {
      const double x = record[2 + p] / 255.0;
      sum[p / 1024] += x;
      squares[p / 1024] += x * x;
    }
  }
  EXPECT_EQ(counts, std::vector<int>(100, 500));
  const double means[3] = {0.50707, 0.48655, 0.44092}, deviations[3] = {0.26733, 0.25644, 0.27615};
  for (int c = 0; c < 3; ++c) {
    const double count = 1024.0 * kCifarTrainCount, mean = sum[c] / count;
    EXPECT_NEAR(mean, means[c], 2e-5);
    EXPECT_NEAR(std::sqrt(squares[c] / count - mean * mean), deviations[c], 2e-5);
  }
}

}  // namespace
}  // namespace terrace
