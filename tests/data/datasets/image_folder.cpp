#include "data/datasets/image_folder.h"

#include <algorithm>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/images/image_file.h"
#include "tests/data/images/pictures.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

const auto kQuiet = [](int64_t, int64_t, int64_t) {};

void add(const std::string& path, int64_t height, int64_t width) {
  fs::create_directories(fs::path(path).parent_path());
  if (path.ends_with("png")) {
    write_png(path, smooth_picture(height, width));
  } else {
    write_jpeg(path, smooth_picture(height, width));
  }
}

std::vector<int64_t> sorted_labels(const ImageDataset& data) {
  std::vector<int64_t> labels = data.labels().to_vector<int64_t>();
  std::sort(labels.begin(), labels.end());
  return labels;
}

/// The picture of the only file of a class.
Tensor image_of_class(const ImageDataset& data, int64_t label) {
  const std::vector<int64_t> labels = data.labels().to_vector<int64_t>();
  return data.image(std::find(labels.begin(), labels.end(), label) - labels.begin());
}

TEST(ImageFolder, ConvertsInOneOrderWhateverTheWorkers) {
  const TemporaryFolder folder;
  add(folder / "in/n02/b.JPEG", 60, 40);
  add(folder / "in/n01/z.png", 33, 57);
  add(folder / "in/n01/a.jpg", 20, 16);
  add(folder / "in/n03/c.Jpg", 16, 16);
  write_file(folder / "in/n01/notes.txt", "not a picture");
  write_file(folder / "in/n01/.hidden.png", "nor this");
  std::string hash;
  for (const int workers : {0, 1, 4}) {
    const ImageFolderResult result =
        convert_image_folder(folder / "in", folder / "d.h5", {.size = 16, .workers = workers}, kQuiet);
    EXPECT_EQ(result.written, 4);
    const ImageDataset data = ImageDataset::open(folder / "d.h5");
    EXPECT_EQ(data.class_names(), (std::vector<std::string>{"n01", "n02", "n03"}));
    EXPECT_EQ(sorted_labels(data), (std::vector<int64_t>{0, 0, 1, 2}));
    EXPECT_SAME(image_of_class(data, 1),
                resize_and_crop(read_image(folder / "in/n02/b.JPEG"), 16, ResizeFilter::kLanczos));
    EXPECT_SAME(image_of_class(data, 2), read_image(folder / "in/n03/c.Jpg"));
    if (!hash.empty()) { EXPECT_EQ(data.content_hash(), hash); }
    hash = data.content_hash();
  }
}

TEST(ImageFolder, AnyRangeHoldsAllClasses) {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i) { add(folder / cat("in/", i % 3, "/", i, ".png"), 8, 8); }
  convert_image_folder(folder / "in", folder / "d.h5", {.size = 8}, kQuiet);
  const std::vector<int64_t> labels = ImageDataset::open(folder / "d.h5").labels().to_vector<int64_t>();
  for (const size_t begin : {0u, 20u, 40u}) {
    for (int64_t c = 0; c < 3; ++c) {
      EXPECT_GE(std::count(labels.begin() + begin, labels.begin() + begin + 20, c), 2) << begin << " class " << c;
    }
  }
}

TEST(ImageFolder, SplitsOfTheFolderAndHeldOutOnes) {
  const TemporaryFolder folder;
  for (int i = 0; i < 6; ++i) { add(folder / cat("in/train/", i % 2 == 0 ? "cat" : "dog", "/", i, ".png"), 8, 8); }
  add(folder / "in/val/dog/x.png", 8, 8);
  convert_image_folder(folder / "in", folder / "d.h5", {.size = 8, .test_every = 3}, kQuiet);
  EXPECT_EQ(ImageDataset::splits(folder / "d.h5"), (std::vector<std::string>{"test", "train", "val"}));
  EXPECT_EQ(ImageDataset::open(folder / "d.h5", "train").size(), 4);
  EXPECT_EQ(sorted_labels(ImageDataset::open(folder / "d.h5", "test")), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(ImageDataset::open(folder / "d.h5", "val").labels().to_vector<int64_t>(), (std::vector<int64_t>{1}));
  add(folder / "in/val/cow/x.png", 8, 8);
  expect_error<IoError>([&] { scan_image_folder(folder / "in", {}); }, "its class \"cow\" is not one of the others'");
}

TEST(ImageFolder, BadFilesStopOrAreCounted) {
  const TemporaryFolder folder;
  add(folder / "in/a/1.jpg", 20, 20);
  add(folder / "in/b/3.jpg", 20, 20);
  const std::string whole = read_file(folder / "in/a/1.jpg");
  write_file(folder / "in/a/2.jpg", whole.substr(0, whole.size() / 2));
  expect_error<IoError>([&] { convert_image_folder(folder / "in", folder / "d.h5", {.size = 8}, kQuiet); },
                        "cannot read " + folder / "in/a/2.jpg" + ": Premature end of JPEG file");
  EXPECT_FALSE(fs::exists(folder / "d.h5"));
  const ImageFolderResult result =
      convert_image_folder(folder / "in", folder / "d.h5", {.size = 8, .bad_files = BadFiles::kSkip}, kQuiet);
  EXPECT_EQ(result.written, 2);
  ASSERT_EQ(result.bad.size(), 1u);
  EXPECT_EQ(result.bad[0].path, folder / "in/a/2.jpg");
  EXPECT_EQ(sorted_labels(ImageDataset::open(folder / "d.h5")), (std::vector<int64_t>{0, 1}));
}

TEST(ImageFolder, StoppingLeavesNothing) {
  const TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) { add(folder / cat("in/a/", i, ".png"), 8, 8); }
  const auto stop = [](int64_t done, int64_t, int64_t) {
    if (done == 5) { throw Interrupted("interrupted"); }
  };
  expect_error<Interrupted>([&] { convert_image_folder(folder / "in", folder / "d.h5", {.size = 8}, stop); },
                            "interrupted");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(ImageFolder, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  const auto scanning = [&](const std::string& path) { return [path] { scan_image_folder(path, {}); }; };
  expect_error<IoError>(scanning(folder / "none"), "it is not a folder");
  expect_error<IoError>(scanning(folder.path()), "it holds no folders; expected one folder of images a class");
  fs::create_directory(folder / "a");
  expect_error<IoError>(scanning(folder.path()), "no JPEG or PNG file in its class folders");
}

TEST(ImageFolder, RealPictures) {
  SKIP_WITHOUT_DATA(path, "imagenet-samples");
  const TemporaryFolder folder;
  const ImageFolderResult result = convert_image_folder(path, folder / "d.h5", {.size = 48}, kQuiet);
  EXPECT_GE(result.written, 100);
  EXPECT_TRUE(result.bad.empty());
  ImageDataset::open(folder / "d.h5").verify_content();
}

}  // namespace
}  // namespace terrace
