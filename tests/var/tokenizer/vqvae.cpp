#include "var/tokenizer/vqvae.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Vqvae, ReconstructsFromItsTokensAlone) {
  Generator g(1);
  Vqvae vqvae(vqvae_preset32(), g);
  vqvae.eval();
  const Tensor images = random_tensor({2, 3, 32, 32}, 2);
  const Tensor indices = vqvae.images_to_indices(images);
  const Tensor f_hat = vqvae.quantizer().indices_to_f_hats(indices).back();
  EXPECT_SAME(vqvae.reconstruct(images), vqvae.f_hat_to_images(f_hat));
  EXPECT_SAME(vqvae.reconstruct(images), vqvae.indices_to_images(indices));
}

TEST(VqvaeConfig, ReadsItsOwnText) {
  const VqvaeConfig preset = vqvae_preset32();
  EXPECT_EQ(vqvae_config_from_text(to_text(preset)), preset);
  EXPECT_EQ(vqvae_config_from_text("{}"), VqvaeConfig());
  EXPECT_EQ(preset.image_size(), 32);
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"chh": 3})"); }, "unknown key chh");
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"ch": "wide"})"); }, "ch has the wrong type");
  expect_error<ConfigError>([] { vqvae_config_from_text("{"); }, "not valid JSON");
}

TEST(VqvaeConfig, NamesWhatIsWrong) {
  VqvaeConfig config = vqvae_preset32();
  config.norm_groups = 7;
  expect_error<ConfigError>([&] { Vqvae{config}; }, "norm_groups = 7");
  config = vqvae_preset32();
  config.z_channels = 0;
  expect_error<ConfigError>([&] { Vqvae{config}; }, "z_channels");
  config = vqvae_preset32();
  const Vqvae vqvae(config);
  expect_error<ShapeError>([&] { vqvae.images_to_indices(random_tensor({1, 3, 30, 32}, 1)); }, "multiples of 4");
  expect_error<ShapeError>([&] { vqvae.images_to_indices(random_tensor({1, 3, 64, 64}, 1)); }, "(B, 16, 8, 8)");
}

}  // namespace
}  // namespace terrace
