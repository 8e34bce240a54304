#include "var/quantizer.h"

#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "tests/support.h"

namespace terrace {
namespace {

QuantizerConfig config_of(const nlohmann::json& j) {
  QuantizerConfig config;
  config.vocab_size = j.at("vocab_size");
  config.channels = j.at("Cvae");
  config.patch_nums = j.at("v_patch_nums").get<std::vector<int64_t>>();
  config.share_quant_resi = j.at("share_quant_resi");
  config.quant_resi = j.at("quant_resi");
  config.beta = j.at("beta");
  config.using_znorm = j.at("using_znorm");
  return config;
}

State read_group(const GoldenFile& golden, const std::string& group) {
  State state;
  for (const std::string& name : golden.list(group)) state[name] = golden.read(group + "/" + name);
  return state;
}

class QuantizerGolden : public testing::TestWithParam<const char*> {
 protected:
  GoldenFile golden{"quant_variants.h5"};
  std::string group = std::string("variants/") + GetParam();
  QuantizerConfig config = config_of(nlohmann::json::parse(golden.attribute(group, "params")));
  Quantizer quantizer{config};
  Tensor read(const std::string& name) { return golden.read(group + "/" + name); }
  bool has(const std::string& name) { return golden.has(group + "/" + name); }
  void SetUp() override { quantizer.load_state(read_group(golden, group + "/state_dict")); }
};

TEST_P(QuantizerGolden, TokensAndMaps) {
  const Tensor indices = quantizer.f_to_indices(read("inputs/f"));
  const std::vector<Tensor> per_scale = split_scales(indices, quantizer.pyramid());
  const std::vector<Tensor> f_hats = quantizer.indices_to_f_hats(indices);
  const Tensor phi = read("outputs/phi_index");
  for (int64_t s = 0; s < quantizer.pyramid().scales(); ++s) {
    const std::string k = std::to_string(s);
    EXPECT_SAME(per_scale[static_cast<size_t>(s)].contiguous(), read("outputs/idx_" + k));
    if (!has("outputs/f_hat_" + k)) continue;
    EXPECT_CLOSE(f_hats[static_cast<size_t>(s)], read("outputs/f_hat_" + k), 1e-5);
  }
  EXPECT_SAME(join_scales(per_scale), indices);
  EXPECT_CLOSE(quantizer.indices_to_var_input(indices), read("outputs/var_input"), 1e-5);
}

TEST_P(QuantizerGolden, TrainingForwardAndGradients) {
  const Variable f(read("inputs/f"), Requires::kGrad);
  const Quantizer::Output out = quantizer.forward(f);
  EXPECT_CLOSE(out.f_hat, read("outputs/f_hat_st"), 1e-5);
  EXPECT_CLOSE(out.vq_loss, read("outputs/vq_loss"), 1e-5);
  EXPECT_SAME(out.indices, quantizer.f_to_indices(f.value()));
  add(sum(mul(out.f_hat, Variable(read("inputs/w")))), out.vq_loss).backward();
  EXPECT_CLOSE(f.grad(), read("grads_inputs/f"), 1e-5);
  for (const auto& [name, parameter] : quantizer.named_parameters()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(parameter.grad().defined());
    EXPECT_CLOSE(parameter.grad(), read("grads/" + name), 1e-5);
  }
}

// Sampling adds scale after scale what the whole pyramid adds at once.
TEST_P(QuantizerGolden, NextInputAccumulates) {
  const Tensor indices = quantizer.f_to_indices(read("inputs/f"));
  const std::vector<Tensor> per_scale = split_scales(indices, quantizer.pyramid());
  const Tensor var_input = read("outputs/var_input");
  Tensor f_hat = Tensor::zeros(read("inputs/f").shape());
  const Pyramid& pyramid = quantizer.pyramid();
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const Tensor next = quantizer.next_input(s, f_hat, quantizer.embed_scale(per_scale[static_cast<size_t>(s)], s));
    if (s + 1 == pyramid.scales()) break;
    const Tensor rows = next.reshape({next.dim(0), next.dim(1), -1}).transpose(1, 2).contiguous();
    const int64_t first = pyramid.tokens(0);
    EXPECT_CLOSE(rows, var_input.slice(1, pyramid.begin(s + 1) - first, pyramid.end(s + 1) - first).contiguous(), 1e-5);
  }
  EXPECT_CLOSE(f_hat, quantizer.indices_to_f_hat(indices), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Variants, QuantizerGolden,
                         testing::Values("plain", "znorm", "nonshared", "shared", "partial3", "no_phi", "neg_resi",
                                         "tenscale", "tenscale_k3"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Quantizer, PhiIndexOfGoldenTables) {
  const GoldenFile golden("quant_variants.h5");
  for (const std::string& name : golden.list("phi_index")) {
    SCOPED_TRACE(name);
    const Tensor expected = golden.read("phi_index/" + name);
    const int64_t phis = std::stoll(name.substr(1)), scales = expected.dim(0);
    for (int64_t s = 0; s < scales; ++s) EXPECT_EQ(phi_index(s, scales, phis), expected.select(0, s).item<int64_t>());
  }
  EXPECT_EQ(phi_index(0, 1, 4), 0);
}

TEST(Quantizer, RefusesWhatDoesNotFit) {
  QuantizerConfig config;
  config.vocab_size = 8;
  config.channels = 4;
  config.patch_nums = {1, 2, 4};
  const Quantizer quantizer(config);
  expect_error<ShapeError>([&] { quantizer.f_to_indices(random_tensor({2, 4, 8, 8}, 1)); }, "f must be (B, 4, 4, 4)");
  expect_error<ShapeError>([&] { quantizer.indices_to_f_hat(Tensor::zeros({2, 20}, DType::kI64)); }, "(B, 21)");
  expect_error<DTypeError>([&] { quantizer.indices_to_f_hat(Tensor::zeros({2, 21})); }, "indices");
  config.patch_nums = {1, 3, 2};
  expect_error<ConfigError>([&] { Quantizer{config}; }, "patch_nums");
  config.patch_nums = {1, 2};
  config.share_quant_resi = -1;
  expect_error<ConfigError>([&] { Quantizer{config}; }, "share_quant_resi");
}

TEST(Quantizer, RecordsHitsAsTheOfficialTrainer) {
  QuantizerConfig config;
  config.vocab_size = 2;
  config.channels = 2;
  config.patch_nums = {1};
  Quantizer quantizer(config);
  const Tensor hits = Tensor::from(std::vector<float>{10, 0}, {1, 2});
  quantizer.record_hits(hits, 0);
  EXPECT_SAME(quantizer.hits(), hits);
  quantizer.record_hits(Tensor::from(std::vector<float>{0, 10}, {1, 2}), 1);
  EXPECT_CLOSE(quantizer.hits(), Tensor::from(std::vector<float>{9, 1}, {1, 2}), 1e-6);
  quantizer.record_hits(Tensor::from(std::vector<float>{0, 0}, {1, 2}), 100);
  EXPECT_CLOSE(quantizer.hits(), Tensor::from(std::vector<float>{8.91f, 0.99f}, {1, 2}), 1e-6);
}

TEST(Pyramid, PlacesTokens) {
  const Pyramid pyramid({1, 2, 3});
  EXPECT_EQ(pyramid.length(), 14);
  EXPECT_EQ(pyramid.ends(), (std::vector<int64_t>{1, 5, 14}));
  EXPECT_EQ(pyramid.scale_of(0), 0);
  EXPECT_EQ(pyramid.scale_of(4), 1);
  EXPECT_EQ(pyramid.scale_of(5), 2);
  EXPECT_EQ(pyramid.row(4), 1);
  EXPECT_EQ(pyramid.column(4), 1);
  EXPECT_EQ(pyramid.row(10), 1);
  EXPECT_EQ(pyramid.column(10), 2);
  expect_error<IndexError>([&] { (void)pyramid.scale_of(14); }, "[0, 14)");
  expect_error<ConfigError>([] { Pyramid(std::vector<int64_t>{}); }, "at least one");
  expect_error<ConfigError>([] { Pyramid({0, 2}); }, "positive");
}

}  // namespace
}  // namespace terrace
