#include "experiments/training/pictures.h"

#include "data/datasets/image_dataset.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(TrainerPictures, OriginalsStandAboveTheirReconstructions) {
  const TemporaryFolder folder;
  VqvaeConfig config;
  config.ch = 8;
  config.ch_mult = {1, 1};
  config.num_res_blocks = 1;
  config.z_channels = 4;
  config.vocab_size = 16;
  config.patch_nums = {1, 2};
  config.norm_groups = 4;
  Generator g(3);
  Vqvae model(config, g);
  model.eval();
  const Tensor images = randint(256, {10, 4, 4, 3}, g).to(DType::kU8);
  create_dataset(folder / "set.h5", "train", images, Tensor::zeros({10}, DType::kI64), {"a"}, "made by the test");
  write_reconstructions(folder / "a.png", model, ImageDataset::open(folder / "set.h5", "train"), 0);
  const Tensor picture = read_image(folder / "a.png");
  // Eight columns of 8 px, two rows of originals, each above that of its reconstructions, 2 px between all.
  ASSERT_EQ(picture.shape(), (Shape{4 * 8 + 3 * 2, 8 * 8 + 7 * 2, 3}));
  const Tensor again = images_to_bytes(model.reconstruct(images_to_float(images)));
  const auto pixel = [&](int64_t row, int64_t column, int64_t channel) {
    return picture.slice(0, row * 10 + 2, row * 10 + 3)
        .slice(1, column * 10 + 4, column * 10 + 5)
        .contiguous()
        .to_vector<uint8_t>()[static_cast<size_t>(channel)];
  };
  for (int64_t i = 0; i < 10; ++i) {
    for (int64_t c = 0; c < 3; ++c) {
      const auto at = [&](const Tensor& of) { return of.data<uint8_t>()[((i * 4 + 1) * 4 + 2) * 3 + c]; };
      EXPECT_EQ(pixel(i / 8 * 2, i % 8, c), at(images)) << i;
      EXPECT_EQ(pixel(i / 8 * 2 + 1, i % 8, c), at(again)) << i;
    }
  }
  EXPECT_EQ(pixel(3, 7, 0), 128) << "nothing is shown there";
}

}  // namespace
}  // namespace terrace
