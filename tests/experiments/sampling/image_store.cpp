// The store of an interrupted run: what is in it, what does not count, and whom it refuses.
#include "experiments/sampling/image_store.h"

#include <filesystem>
#include <fstream>

#include "tests/support.h"

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

}  // namespace
}  // namespace terrace
