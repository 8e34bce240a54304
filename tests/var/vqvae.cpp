#include "var/vqvae.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "tests/support.h"

namespace terrace {
namespace {

// The fields of the fixture's configuration that are the model's own.
VqvaeConfig config_of(const GoldenFile& golden) {
  const nlohmann::json all = nlohmann::json::parse(golden.attribute("", "config"));
  nlohmann::json own = VqvaeConfig();
  for (auto& item : own.items()) item.value() = all.at(item.key());
  return own.get<VqvaeConfig>();
}

class VqvaeTiny : public testing::Test {
 protected:
  GoldenFile golden{"vqvae_tiny.h5"};
  Vqvae vqvae{config_of(golden)};
  Tensor read(const std::string& name) { return golden.read(name); }
  void SetUp() override {
    State state;
    for (const std::string& name : golden.list("state_dict")) state[name] = read("state_dict/" + name);
    vqvae.load_state(state);
    vqvae.eval();
  }
};

TEST_F(VqvaeTiny, EncodesQuantizesAndDecodes) {
  const NoGrad no_grad;
  const Variable images(read("inputs/inp"));
  EXPECT_CLOSE(vqvae.encode_raw(images), read("outputs/encoder_out"), 2e-5);
  EXPECT_CLOSE(vqvae.encode(images), read("outputs/f"), 2e-5);
  const Tensor indices = vqvae.images_to_indices(images.value());
  const std::vector<Tensor> per_scale = split_scales(indices, vqvae.pyramid());
  const std::vector<Tensor> f_hats = vqvae.quantizer().indices_to_f_hats(indices);
  for (size_t s = 0; s < per_scale.size(); ++s) {
    const std::string k = std::to_string(s);
    EXPECT_SAME(per_scale[s].contiguous(), read("outputs/idx_" + k));
    EXPECT_CLOSE(f_hats[s], read("outputs/f_hat_" + k), 2e-5);
    EXPECT_NEAR_TENSOR(vqvae.f_hat_to_images(f_hats[s]), read("outputs/img_" + k), 5e-5);
  }
  EXPECT_CLOSE(vqvae.quantizer().indices_to_var_input(indices), read("outputs/var_input"), 2e-5);
  EXPECT_NEAR_TENSOR(vqvae.reconstruct(images.value()), read("outputs/img_3"), 5e-5);
}

TEST_F(VqvaeTiny, TrainingForwardAndGradients) {
  const nlohmann::json config = nlohmann::json::parse(golden.attribute("", "config"));
  const auto zero = config.at("zero_grad_params").get<std::vector<std::string>>();
  const Variable images(read("inputs/inp"), Requires::kGrad);
  const Vqvae::Output out = vqvae.forward(images);
  const Variable mse = mean(square(sub(out.reconstruction, images)));
  const Variable loss = add(mse, out.quantized.vq_loss);
  EXPECT_NEAR_TENSOR(out.reconstruction, read("outputs/recon"), 5e-5);
  EXPECT_CLOSE(out.quantized.vq_loss, read("outputs/vq_loss"), 2e-5);
  EXPECT_CLOSE(mse, read("outputs/mse"), 2e-5);
  EXPECT_CLOSE(loss, read("outputs/loss"), 2e-5);
  loss.backward();
  EXPECT_CLOSE(images.grad(), read("grads_inputs/inp"), 1e-4);
  for (const auto& [name, parameter] : vqvae.named_parameters()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(parameter.grad().defined());
    const Tensor expected = read("grads/" + name);
    if (std::find(zero.begin(), zero.end(), name) != zero.end()) {
      EXPECT_NEAR_TENSOR(parameter.grad(), expected, 1e-6);
    } else {
      EXPECT_CLOSE(parameter.grad(), expected, 1e-4);
    }
  }
}

TEST(VqvaeConfig, ReadsItsOwnText) {
  const VqvaeConfig preset = vqvae_preset32();
  EXPECT_EQ(vqvae_config_from_text(to_text(preset)), preset);
  EXPECT_EQ(vqvae_config_from_text("{}"), VqvaeConfig());
  EXPECT_EQ(preset.image_size(), 32);
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"chh": 3})"); }, "unknown key chh");
  expect_error<ConfigError>([] { vqvae_config_from_text(R"({"ch": "wide"})"); }, "ch has the wrong type");
  expect_error<ConfigError>([] { vqvae_config_from_text("{"); }, "not JSON");
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
