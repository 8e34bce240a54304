// The store of an interrupted run: what is in it, what does not count, and whom it refuses.
#include "experiments/sampling/image_store.h"

#include <filesystem>
#include <fstream>

#include "data/files/atomic_file.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

using Start = ImageStore::Start;

Tensor pictures(int64_t count, int64_t first) {
  Tensor images = Tensor::empty({count, 4, 4, 3}, DType::kU8);
  for (int64_t i = 0; i < count; ++i) { images.select(0, i).fill_(static_cast<double>(first + i)); }
  return images;
}

TEST(ImageStore, GoesOnWhereItWas) {
  const TemporaryFolder folder;
  const Json key = {{"seed", 3}, {"cfg", 1.5}};
  {
    ImageStore store(folder.path(), key, 4, Start::kResume);
    EXPECT_EQ(store.size(), 0) << "there is nothing to resume";
    store.append(pictures(2, 0));
    store.append(pictures(3, 2));
  }
  std::ofstream(folder / "images.partial", std::ios::app) << "half an image";
  ImageStore store(folder.path(), key, 4, Start::kResume);
  EXPECT_EQ(store.size(), 5);
  EXPECT_SAME(store.read(0, 5), pictures(5, 0));
  store.truncate(4);
  store.append(pictures(1, 9));
  EXPECT_SAME(store.read(3, 4), pictures(1, 3));
  EXPECT_SAME(store.read(4, 5), pictures(1, 9));
  expect_error<IndexError>([&] { store.read(4, 6); }, "[4, 6) is outside of 5 images");
  expect_error<ShapeError>([&] { store.append(Tensor::zeros({1, 5, 4, 3}, DType::kU8)); }, "ImageStore::append");
  store.remove();
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ImageStore, BeginsAnewOrRefuses) {
  const TemporaryFolder folder;
  ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kNew).append(pictures(2, 0));
  expect_error<ConfigError>(
      [&] {
        ImageStore(folder.path(), {{"seed", 4}}, 4, Start::kResume);
      },
      "holds images of seed = 3, not 4; give --overwrite in its place to replace them");
  EXPECT_EQ(ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kResume).size(), 2);
  EXPECT_EQ(ImageStore(folder.path(), {{"seed", 4}}, 4, Start::kNew).size(), 0);
  expect_error<IoError>([&] { ImageStore(folder / "nowhere", {}, 4, Start::kNew); }, "nowhere");
}

TEST(ImageStore, NoFlippedBitPasses) {
  const TemporaryFolder folder;
  const std::string path = folder / "images.partial";
  ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kNew).append(pictures(3, 0));
  const std::string bytes = read_file(path);
  ASSERT_EQ(bytes.size(), 3U * (4 * 4 * 3 + 8));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    put_file(path, with_flipped_bit(bytes, bit));
    ImageStore store(folder.path(), {{"seed", 3}}, 4, Start::kResume);
    const auto kept = static_cast<int64_t>(bit / 8 / 56);
    ASSERT_EQ(store.size(), kept) << bit;
    ASSERT_EQ(read_file(path), bytes.substr(0, static_cast<size_t>(kept) * 56));
    EXPECT_SAME(store.read(0, kept), pictures(kept, 0));
  }
  write_file(path, bytes.substr(56));
  EXPECT_EQ(ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kResume).size(), 0) << "images in another's place";
}

TEST(ImageStore, SaysWhatIsDrawnAgain) {
  const TemporaryFolder folder;
  const std::string path = folder / "images.partial";
  const auto resume = [&] { return ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kResume).size(); };
  ImageStore(folder.path(), {{"seed", 3}}, 4, Start::kNew).append(pictures(3, 0));
  write_file(path, with_flipped_bit(read_file(path), 56 * 8));
  testing::internal::CaptureStderr();
  EXPECT_EQ(resume(), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "note: " + path + ": image 2 of 3 is damaged; it and those after it are drawn again\n"),
            std::string::npos);
  {
    ImageStore store(folder.path(), {{"seed", 3}}, 4, Start::kResume);
    write_file(folder / "copy", with_flipped_bit(read_file(path), 8));
    std::ofstream(path, std::ios::in | std::ios::out | std::ios::binary) << read_file(folder / "copy");
    expect_error<IoError>([&] { store.read(0, 1); },
                          "cannot read " + path +
                              ": image 1 was damaged while this run went on; add --resume to the "
                              "same command to draw it again");
  }
  // As earlier versions left them.
  write_file(folder / "images.partial.json", "{\"seed\": 3}\n");
  write_file(path, std::string(2 * 48, '\0'));
  testing::internal::CaptureStderr();
  EXPECT_EQ(resume(), 0);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "note: " + path + " is of an earlier version, without checksums; its images are drawn again\n"),
            std::string::npos);
}

TEST(ImageStore, RefusesADamagedKeyInItsOwnWords) {
  const TemporaryFolder folder;
  const std::string path = folder / "images.partial.json";
  const Json key = {{"seed", 3}, {"cfg", 1.5}};
  ImageStore(folder.path(), key, 4, Start::kNew).append(pictures(1, 0));
  const std::string whole = read_file(path);
  const std::string way_out =
      "; give --overwrite in place of --resume to draw all images again, or another folder with --out";
  const auto open = [&] { ImageStore(folder.path(), key, 4, Start::kResume); };
  write_file(path, whole.substr(0, 10));
  expect_error<ConfigError>(open, path + ": it is no valid JSON, or is cut off" + way_out);
  std::string other = whole;
  other[other.find('3')] = '7';
  write_file(path, other);
  expect_error<ConfigError>(open, path +
                                      ": it was edited or is damaged: its checksum differs (without its line "
                                      "\"checksum\" it is taken as it stands)" +
                                      way_out);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    put_file(path, with_flipped_bit(whole, bit));
    try {
      EXPECT_EQ(ImageStore(folder.path(), key, 4, Start::kResume).size(), 1) << bit;
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).find("json.exception"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace terrace
