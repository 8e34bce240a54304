#include "data/datasets/image_source.h"

#include <filesystem>

#include "data/datasets/image_dataset.h"
#include "data/datasets/subset.h"
#include "data/files/atomic_file.h"
#include "data/formats/npz.h"
#include "data/images/image_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

Tensor pictures(int64_t count, int64_t height, int64_t width) {
  Tensor images = Tensor::empty({count, height, width, 3}, DType::kU8);
  for (int64_t i = 0; i < images.numel(); ++i) { images.data<uint8_t>()[i] = static_cast<uint8_t>(i * 37 % 251); }
  return images;
}

void write_npz(const std::string& path, const std::string& name, const Tensor& value) {
  NpzWriter npz(path);
  npz.begin(name, value.dtype(), value.shape());
  npz.append(value);
  npz.commit();
}

TEST(ImageSource, FolderByPathWithClassesWhereAllLieInThem) {
  const TemporaryFolder folder;
  const Tensor images = pictures(3, 4, 5);
  for (const char* name : {"cat", "dog", "dog/deep", ".hidden"}) { std::filesystem::create_directories(folder / name); }
  write_png(folder / "dog/deep/1.PNG", images.select(0, 1));
  write_png(folder / "cat/9.png", images.select(0, 0));
  write_png(folder / "dog/z.png", pictures(1, 7, 2).select(0, 0));
  write_png(folder / ".hidden/a.png", images.select(0, 2));
  write_file(folder / "dog/notes.txt", "no picture");
  const auto source = open_image_source(folder.path());
  ASSERT_EQ(source->size(), 3);
  EXPECT_SAME(source->image(0), images.select(0, 0).contiguous());
  EXPECT_SAME(source->image(1), images.select(0, 1).contiguous());
  EXPECT_EQ(source->image(2).shape(), (Shape{7, 2, 3}));
  EXPECT_EQ(source->class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(source->label(0), 0);
  EXPECT_EQ(source->label(2), 1);
  EXPECT_TRUE(source->separate_files());

  write_png(folder / "loose.png", images.select(0, 2));
  EXPECT_EQ(open_image_source(folder.path())->label(0), -1);
  EXPECT_TRUE(open_image_source(folder.path())->class_names().empty());
}

TEST(ImageSource, NpzImageByImage) {
  const TemporaryFolder folder;
  const Tensor images = pictures(5, 3, 4);
  write_npz(folder / "a.npz", "arr_0", images);
  const auto source = open_image_source(folder / "a.npz");
  ASSERT_EQ(source->size(), 5);
  for (int64_t i = 0; i < 5; ++i) { EXPECT_SAME(source->image(i), images.select(0, i).contiguous()); }
  EXPECT_EQ(source->label(0), -1);
  EXPECT_FALSE(source->separate_files());
}

TEST(ImageSource, DatasetSplitsAndLabels) {
  const TemporaryFolder folder;
  const Tensor images = pictures(4, 2, 2), labels = Tensor::from(std::vector<int64_t>{1, 0, 1, 1}, {4});
  create_dataset(folder / "d.h5", "train", images, labels, {"a", "b"}, "test");
  const auto source = open_image_source(folder / "d.h5");
  EXPECT_EQ(source->size(), 4);
  EXPECT_EQ(source->label(2), 1);
  EXPECT_SAME(source->image(3), images.select(0, 3).contiguous());
  EXPECT_EQ(open_image_source(folder / "d.h5", "train")->class_names().size(), 2U);
  expect_error<IoError>([&] { open_image_source(folder / "d.h5", "test"); }, "test");
}

TEST(ImageSource, ADatasetIsNamedByEitherEnding) {
  const TemporaryFolder folder;
  const Tensor labels = Tensor::from(std::vector<int64_t>{1, 0, 1}, {3});
  create_dataset(folder / "d.hdf5", "test", pictures(3, 2, 2), labels, {"a", "b"}, "test");
  EXPECT_EQ(open_image_source(folder / "d.hdf5", "test")->size(), 3);
  EXPECT_EQ(open_image_sources({folder / "d.hdf5"})->size(), 3);
  for (const char* name : {"d.h5", "D.H5", "d.hdf5"}) { EXPECT_TRUE(is_dataset_name(name)) << name; }
  for (const char* name : {"d.npz", "h5", "d.h5.png"}) { EXPECT_FALSE(is_dataset_name(name)) << name; }
}

TEST(ImageSource, APartKeepsNamesAndLabels) {
  const TemporaryFolder folder;
  const Tensor images = pictures(6, 2, 2), labels = Tensor::from(std::vector<int64_t>{0, 1, 0, 1, 0, 1}, {6});
  create_dataset(folder / "d.h5", "test", images, labels, {"a", "b"}, "test");
  const auto whole = open_image_source(folder / "d.h5");
  EXPECT_EQ(part_of_source(whole, 0), whole);
  EXPECT_EQ(part_of_source(whole, 6), whole);
  const auto part = part_of_source(whole, 2);
  ASSERT_EQ(part->size(), 2);
  for (int64_t i = 0; i < 2; ++i) {
    const int64_t row = part_of(6, 2)[static_cast<size_t>(i)];
    EXPECT_EQ(part->name(i), whole->name(row));
    EXPECT_EQ(part->label(i), row % 2);
    EXPECT_SAME(part->image(i), images.select(0, row).contiguous());
  }
  EXPECT_EQ(part->class_names().size(), 2U);
}

TEST(ImageSource, SeveralAsOne) {
  const TemporaryFolder folder;
  const Tensor images = pictures(6, 4, 5);
  std::filesystem::create_directories(folder / "p/.hidden");
  write_png(folder / "loose.png", images.select(0, 0));
  write_png(folder / "p/b.png", images.select(0, 1));
  write_png(folder / "p/.hidden/a.png", images.select(0, 2));
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 1}, {3});
  create_dataset(folder / "d.h5", "test", images.slice(0, 3, 6), labels, {"a", "b"}, "test");
  const auto source = open_image_sources({folder / "loose.png", folder / "p", folder / "d.h5"});
  const std::vector<std::string> names = {"loose.png",   "p/.hidden/a.png", "p/b.png",
                                          "d.h5/test/0", "d.h5/test/1",     "d.h5/test/2"};
  const std::vector<int64_t> order = {0, 2, 1, 3, 4, 5};
  ASSERT_EQ(source->size(), 6);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(source->name(i), folder / names[static_cast<size_t>(i)]);
    EXPECT_SAME(source->image(i), images.select(0, order[static_cast<size_t>(i)]).contiguous());
    EXPECT_EQ(source->label(i), -1);
  }
  EXPECT_TRUE(source->class_names().empty());

  const auto limited = open_image_sources({folder / "p", folder / "d.h5"}, "test", 1);
  ASSERT_EQ(limited->size(), 2);
  EXPECT_EQ(limited->name(0), folder / "p/.hidden/a.png");
  EXPECT_EQ(limited->name(1), cat(folder / "d.h5/test/", part_of(3, 1)[0]));
  const auto missing = open_image_sources({folder / "none.png"});
  expect_error<IoError>([&] { missing->image(0); }, "none.png: No such file");
  std::filesystem::create_directories(folder / "empty");
  expect_error<IoError>([&] { open_image_sources({folder / "empty"}); }, "empty: holds no .png, .jpg or .jpeg file");
}

TEST(ImageSource, RefusesByFile) {
  const TemporaryFolder folder;
  expect_error<IoError>([&] { open_image_source(folder.path()); }, "holds no .png, .jpg or .jpeg file");
  expect_error<ConfigError>([&] { open_image_source(folder.path(), "train"); }, "only datasets (.h5) have a split");
  expect_error<IoError>([&] { open_image_source(folder / "none.npz"); }, "none.npz");
  write_npz(folder / "f.npz", "arr_0", Tensor::zeros({2, 4, 4, 3}));
  expect_error<IoError>([&] { open_image_source(folder / "f.npz"); },
                        "images (arr_0) must be u8 (N, H, W, 3), got f32 (2, 4, 4, 3)");
  write_npz(folder / "grey.npz", "arr_0", Tensor::zeros({2, 4, 4}, DType::kU8));
  expect_error<IoError>([&] { open_image_source(folder / "grey.npz"); }, "got u8 (2, 4, 4)");
  write_npz(folder / "other.npz", "images", pictures(2, 4, 4));
  expect_error<IoError>([&] { open_image_source(folder / "other.npz"); }, "it has no array arr_0 of images");
  write_file(folder / "broken.png", "not a picture");
  const auto source = open_image_source(folder.path());
  expect_error<IoError>([&] { source->image(0); }, "broken.png: neither a JPEG nor a PNG file");
}

}  // namespace
}  // namespace terrace
