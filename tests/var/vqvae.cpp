#include "var/vqvae.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

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

// The fixture's parameters are a formula of their names: 64-bit FNV-1a of the key, then SplitMix64 per element.
Tensor fill(const std::string& key, const Shape& shape, double center, double amplitude, uint64_t salt) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.numel(); ++i) {
    uint64_t z = (hash ^ salt) + (static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    const double u = std::ldexp(static_cast<double>(z >> 40), -24);
    t.data<float>()[i] = static_cast<float>(center + (2 * u - 1) * amplitude);
  }
  return t;
}

// The official layout: five levels of growing width, two blocks each.
TEST(VqvaeProcedural, ForwardAndGradients) {
  const GoldenFile golden("procedural_vqvae.h5");
  const nlohmann::json config = nlohmann::json::parse(golden.attribute("", "config"));
  const nlohmann::json params = nlohmann::json::parse(golden.attribute("", "params"));
  const uint64_t salt = config.at("salt");
  Vqvae vqvae(config_of(golden));
  State state = vqvae.state();
  const NamedParameters named = vqvae.named_parameters();
  ASSERT_EQ(named.size(), params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    const std::string key = params[i][0];
    EXPECT_EQ(named[i].first, key);
    state[key] = fill(key, Shape(params[i][1].get<std::vector<int64_t>>()), params[i][2], params[i][3], salt);
  }
  vqvae.load_state(state);
  const nlohmann::json& input = config.at("input");
  const Variable images(fill(input.at("key"), Shape(input.at("shape").get<std::vector<int64_t>>()), input.at("center"),
                             input.at("amp"), salt));
  const Vqvae::Output out = vqvae.forward(images);
  const Variable loss = add(mean(square(sub(out.reconstruction, images))), out.quantized.vq_loss);
  EXPECT_CLOSE(vqvae.encode_raw(images), golden.read("outputs/encoder_out"), 2e-5);
  EXPECT_NEAR_TENSOR(out.reconstruction, golden.read("outputs/recon"), 5e-5);
  EXPECT_CLOSE(out.quantized.vq_loss, golden.read("outputs/vq_loss"), 2e-5);
  EXPECT_CLOSE(loss, golden.read("outputs/loss"), 2e-5);
  const std::vector<Tensor> per_scale = split_scales(out.quantized.indices, vqvae.pyramid());
  for (size_t s = 0; s < per_scale.size(); ++s) {
    EXPECT_SAME(per_scale[s].contiguous(), golden.read("outputs/idx_" + std::to_string(s)));
  }
  EXPECT_CLOSE(vqvae.quantizer().indices_to_f_hat(out.quantized.indices), golden.read("outputs/f_hat"), 2e-5);
  loss.backward();
  const Tensor stats = golden.read("outputs/grad_stats");
  for (size_t i = 0; i < named.size(); ++i) {
    const auto& [name, parameter] = named[i];
    SCOPED_TRACE(name);
    const Tensor against = fill(name + "#w", parameter.shape(), 0, 1, salt);
    const std::vector<double> g = parameter.grad().to_vector<double>(), w = against.to_vector<double>();
    const double norm = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
    const double expected = stats.data<double>()[2 * i];
    EXPECT_NEAR(norm, expected, 1e-4 * expected + 1e-6);
    EXPECT_NEAR(std::inner_product(g.begin(), g.end(), w.begin(), 0.0), stats.data<double>()[2 * i + 1],
                1e-4 * expected + 1e-6);
    if (!golden.has("grads/" + name)) continue;
    EXPECT_CLOSE(parameter.grad(), golden.read("grads/" + name), 1e-4);
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
