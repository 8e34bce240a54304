#include "data/datasets/image_dataset.h"

#include <algorithm>
#include <filesystem>

#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

Tensor pictures(int64_t count, int64_t height, int64_t width, uint64_t seed = 1) {
  Tensor images = Tensor::empty({count, height, width, 3}, DType::kU8);
  Generator draws(seed);
  for (int64_t i = 0; i < images.numel(); ++i) {
    images.data<uint8_t>()[i] = static_cast<uint8_t>(draws.next_below(256));
  }
  return images;
}

Tensor classes(int64_t count, int64_t classes) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back(i % classes); }
  return Tensor::from(values, {count});
}

const std::vector<std::string> kNames = {"a", "b", "c"};

TEST(ImageDataset, HeldOutSplitIsTestElseVal) {
  const TemporaryFolder folder;
  ImageDatasetWriter writer(folder / "d.h5", 2, 2, kNames, "a test");
  for (const char* split : {"train", "val"}) {
    writer.begin_split(split);
    writer.append(pictures(1, 2, 2), classes(1, 1));
  }
  writer.commit();
  EXPECT_EQ(open_held_out(folder / "d.h5")->split(), "val");
  create_dataset(folder / "e.h5", "train", pictures(1, 2, 2), classes(1, 1), kNames, "a test");
  EXPECT_FALSE(open_held_out(folder / "e.h5").has_value());
}

TEST(ImageDataset, ComesBackWhole) {
  const TemporaryFolder folder;
  const Tensor train = pictures(100, 5, 7), test = pictures(3, 5, 7, 2);
  ImageDatasetWriter writer(folder / "d.h5", 5, 7, kNames, "a test");
  writer.begin_split("train");
  for (const auto& [begin, end] : {std::pair{0, 0}, {0, 33}, {33, 34}, {34, 99}}) {
    writer.append(train.slice(0, begin, end), classes(100, 3).slice(0, begin, end));
  }
  writer.append(train.select(0, 99), 0);
  writer.begin_split("test");
  writer.append(test, classes(3, 3));
  writer.annotate("note", "hello");
  writer.commit();

  EXPECT_EQ(ImageDataset::splits(folder / "d.h5"), (std::vector<std::string>{"test", "train"}));
  const ImageDataset data = ImageDataset::open(folder / "d.h5");
  EXPECT_EQ(data.size(), 100);
  EXPECT_EQ(data.height(), 5);
  EXPECT_EQ(data.width(), 7);
  EXPECT_EQ(data.num_classes(), 3);
  EXPECT_EQ(data.class_names(), kNames);
  EXPECT_EQ(data.source(), "a test");
  EXPECT_EQ(data.split(), "train");
  EXPECT_SAME(data.images(0, 100), train);
  EXPECT_SAME(data.images(40, 60), train.slice(0, 40, 60).contiguous());
  const Tensor rows = data.images({2, 3, 97});
  EXPECT_SAME(rows.slice(0, 0, 2).contiguous(), train.slice(0, 2, 4).contiguous());
  EXPECT_SAME(rows.select(0, 2).contiguous(), train.select(0, 97).contiguous());
  EXPECT_EQ(data.images(std::vector<int64_t>{}).shape(), (Shape{0, 5, 7, 3}));
  EXPECT_SAME(data.image(99), train.select(0, 99).contiguous());
  EXPECT_SAME(data.labels(), classes(100, 3));
  data.verify_content();
  const ImageDataset held_out = ImageDataset::open(folder / "d.h5", "test");
  EXPECT_SAME(held_out.images(0, 3), test);
  held_out.verify_content();
  EXPECT_NE(held_out.content_hash(), data.content_hash());
  EXPECT_EQ(open_held_out(folder / "d.h5")->split(), "test");
  EXPECT_EQ(Hdf5File::open(folder / "d.h5").read_attr_string("/", "note"), "hello");
}

TEST(ImageDataset, HashIsOfTheContentAlone) {
  const TemporaryFolder folder;
  const Tensor images = pictures(9, 4, 4);
  create_dataset(folder / "a.h5", "train", images, classes(9, 3), kNames, "one way");
  ImageDatasetWriter writer(folder / "b.h5", 4, 4, kNames, "another way", Compression::kGzip);
  writer.begin_split("train");
  for (int64_t i = 0; i < 9; ++i) { writer.append(images.select(0, i), i % 3); }
  writer.commit();
  const std::string hash = ImageDataset::open(folder / "a.h5").content_hash();
  EXPECT_EQ(ImageDataset::open(folder / "b.h5").content_hash(), hash);
  EXPECT_EQ(hash.substr(0, 7), "sha256:");
  create_dataset(folder / "c.h5", "train", images, classes(9, 2), kNames, "one way");
  EXPECT_NE(ImageDataset::open(folder / "c.h5").content_hash(), hash);
}

TEST(ImageDataset, LargerThanAWritersBlock) {
  const TemporaryFolder folder;
  const Tensor images = pictures(50, 200, 200);
  create_dataset(folder / "a.h5", "train", images, classes(50, 3), kNames, "large");
  const ImageDataset data = ImageDataset::open(folder / "a.h5");
  EXPECT_SAME(data.images(0, 50), images);
  data.verify_content();
}

/// A dataset written by hand, to be wrong in one place.
void write_raw(const std::string& path, const Tensor& images, const Tensor& labels, int64_t version = 1) {
  Hdf5File file = Hdf5File::create(path);
  file.write_attr_string("/", "kind", "terrace-images");
  file.write_attr_int("/", "version", version);
  file.write_attr_string("/", "source", "by hand");
  file.write_strings("class_names", kNames);
  file.write("train/images", images);
  file.write("train/labels", labels);
  file.write_attr_string("train", "content_hash", "sha256:0");
  file.commit();
}

TEST(ImageDataset, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  const auto opening = [&] { ImageDataset::open(path); };
  write_raw(path, pictures(4, 2, 2), classes(4, 3));
  opening();
  expect_error<IoError>([&] { ImageDataset::open(path, "val"); }, path + ": no split \"val\"; it has: train");
  expect_error<IoError>([&] { ImageDataset::open(path).verify_content(); }, "is not what was written");
  write_raw(path, pictures(4, 2, 2), classes(4, 3), 2);
  expect_error<IoError>(opening, "dataset version 2; this program reads version 1");
  write_raw(path, pictures(4, 2, 2), classes(3, 3));
  expect_error<IoError>(opening, "\"train/labels\" must be (N) with N = 4, it is (3,)");
  write_raw(path, pictures(4, 2, 2), classes(4, 4));
  expect_error<IoError>(opening, "\"train/labels\"[3] is 3; there are 3 classes");
  write_raw(path, pictures(4, 2, 2), classes(4, 3).to(DType::kI32));
  expect_error<IoError>(opening, "\"train/labels\" must be i64, it is i32");
  write_raw(path, pictures(4, 2, 2).select(3, 0), classes(4, 3));
  expect_error<IoError>(opening, "\"train/images\" must be u8 (N, H, W, 3), it is u8 (4, 2, 2)");
  write_raw(path, pictures(4, 2, 2).to(DType::kF32), classes(4, 3));
  expect_error<IoError>(opening, "must be u8 (N, H, W, 3), it is f32");
  Hdf5File other = Hdf5File::create(path);
  other.write("x", Tensor::zeros({1}));
  other.commit();
  expect_error<IoError>(opening, path + ": not an image dataset");
}

TEST(ImageDatasetWriter, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  {
    ImageDatasetWriter writer(folder / "a.h5", 4, 4, kNames, "a test");
    expect_error<IoError>([&] { writer.append(pictures(1, 4, 4), classes(1, 1)); }, "begin_split() comes first");
    writer.begin_split("train");
    expect_error<ShapeError>([&] { writer.append(pictures(1, 4, 5), classes(1, 1)); }, "images");
    expect_error<ShapeError>([&] { writer.append(pictures(2, 4, 4), classes(1, 1)); }, "images");
    expect_error<DTypeError>([&] { writer.append(pictures(1, 4, 4).to(DType::kF32), classes(1, 1)); }, "images");
    expect_error<IndexError>([&] { writer.append(pictures(1, 4, 4).select(0, 0), 3); }, "label 3; there are 3 classes");
    expect_error<IoError>([&] { writer.begin_split("a/b"); }, "cannot name a split");
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  expect_error<ShapeError>([&] { ImageDatasetWriter(folder / "a.h5", 4, 4, {}, ""); }, "at least one class");
  expect_error<ShapeError>([&] { ImageDatasetWriter(folder / "a.h5", 0, 4, kNames, ""); }, "0 x 4");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace terrace
