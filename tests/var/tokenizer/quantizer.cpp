#include "var/tokenizer/quantizer.h"

#include "autograd/functions.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// One of the ways to choose codes and phis.
struct Variant {
  const char* name;
  std::vector<int64_t> patch_nums;
  int64_t share_quant_resi;
  double quant_resi;
  bool using_znorm;
};

class QuantizerVariant : public testing::TestWithParam<Variant> {
 protected:
  static QuantizerConfig config_of(const Variant& v) {
    return {.vocab_size = 16,
            .channels = 3,
            .patch_nums = v.patch_nums,
            .share_quant_resi = v.share_quant_resi,
            .quant_resi = v.quant_resi,
            .using_znorm = v.using_znorm};
  }
  Generator g{3};
  Quantizer quantizer{config_of(GetParam()), g};
  const Pyramid& pyramid = quantizer.pyramid();
  Tensor f = random_tensor({2, 3, pyramid.largest(), pyramid.largest()}, 4);
};

TEST_P(QuantizerVariant, TrainingAndInferenceChooseTheSameCodes) {
  const Quantizer::Output out = quantizer.forward(Variable(f));
  EXPECT_SAME(out.indices, quantizer.f_to_indices(f));
  EXPECT_SAME(join_scales(split_scales(out.indices, pyramid)), out.indices);
  EXPECT_CLOSE(out.f_hat, quantizer.indices_to_f_hat(out.indices), 1e-6);
}

// Sampling adds scale after scale what the whole pyramid adds at once.
TEST_P(QuantizerVariant, NextInputAccumulates) {
  const Tensor indices = quantizer.f_to_indices(f);
  const std::vector<Tensor> per_scale = split_scales(indices, pyramid);
  const Tensor var_input = quantizer.indices_to_var_input(indices);
  Tensor f_hat = Tensor::zeros(f.shape());
  for (int64_t s = 0; s < pyramid.scales(); ++s) {
    const Tensor next = quantizer.next_input(s, f_hat, quantizer.embed_scale(per_scale[static_cast<size_t>(s)], s));
    if (s + 1 == pyramid.scales()) { break; }
    const Tensor rows = next.reshape({next.dim(0), next.dim(1), -1}).transpose(1, 2).contiguous();
    const int64_t first = pyramid.tokens(0);
    EXPECT_CLOSE(rows, var_input.slice(1, pyramid.begin(s + 1) - first, pyramid.end(s + 1) - first).contiguous(), 1e-5);
  }
  EXPECT_CLOSE(f_hat, quantizer.indices_to_f_hat(indices), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Variants, QuantizerVariant,
                         testing::Values(Variant{"partially_shared", {1, 2, 3, 4}, 4, 0.5, false},
                                         Variant{"one_each_by_cosine", {1, 3, 5}, 0, 0.5, true},
                                         Variant{"one_for_all", {2, 3}, 1, -0.3, false},
                                         Variant{"no_phi", {1, 2}, 4, 0, false},
                                         Variant{"one_scale", {3}, 4, 0.5, false}),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST(Quantizer, OneScaleHasTheFirstPhi) { EXPECT_EQ(phi_index(0, 1, 4), 0); }

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
