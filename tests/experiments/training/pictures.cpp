#include "experiments/training/pictures.h"

#include "data/datasets/image_dataset.h"
#include "data/images/image_file.h"
#include "data/images/pixels.h"
#include "experiments/report/caption.h"
#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

VqvaeConfig tokenizer_of_4px() {
  VqvaeConfig config;
  config.ch = 8;
  config.ch_mult = {1, 1};
  config.num_res_blocks = 1;
  config.z_channels = 4;
  config.vocab_size = 16;
  config.patch_nums = {1, 2};
  config.norm_groups = 4;
  return config;
}

TEST(TrainerPictures, OriginalsStandAboveTheirReconstructions) {
  const TemporaryFolder folder;
  const VqvaeConfig config = tokenizer_of_4px();
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

TEST(TrainerPictures, SamplesHaveTheirClassesAsCaptions) {
  const TemporaryFolder folder;
  const VqvaeConfig config = tokenizer_of_4px();
  Generator g(3);
  Vqvae tokenizer(config, g);
  tokenizer.eval();
  VarConfig var;
  var.patch_nums = config.patch_nums;
  var.vocab_size = config.vocab_size;
  var.Cvae = config.z_channels;
  var.num_classes = 2;
  var.depth = 1;
  var.embed_dim = 16;
  var.num_heads = 2;
  VarTransformer model(var, g);
  const auto caption = [&](const std::vector<std::string>& names, int64_t column) {
    write_samples(folder / "s.png", model, tokenizer, names, 3);
    const Tensor picture = read_image(folder / "s.png");
    EXPECT_EQ(picture.dim(0), 96 + 9 + 2) << "4 px enlarged to 96, and a line of text";
    const int64_t left = column * (96 + 6);
    return picture.slice(0, 98, 98 + kGlyphHeight).slice(1, left, left + 96).contiguous();
  };
  const auto text = [](const std::string& words) {
    Tensor line = Tensor::full({kGlyphHeight, 96, 3}, 255, DType::kU8);
    draw_text(line, 0, 0, words, {0, 0, 0});
    return line;
  };
  EXPECT_SAME(caption({"bear", "wolf"}, 0), text("bear"));
  EXPECT_SAME(caption({"bear", "wolf"}, 1), text("wolf"));
  EXPECT_SAME(caption({"bear", "wolf"}, 2), text("bear"));
  EXPECT_SAME(caption({}, 1), text("1")) << "a class without a name has its number";
}

}  // namespace
}  // namespace terrace
