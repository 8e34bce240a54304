#include "var/transformer/sampler.h"

#include <cmath>

#include "autograd/ops/bincount.h"
#include "tests/support.h"
#include "tests/var/small_models.h"

namespace terrace {
namespace {

struct Sampling : SmallModels {
  Tensor run(const std::vector<int64_t>& labels, const std::vector<uint64_t>& seeds, const SampleOptions& options) {
    const Sampled s =
        sample(*model, *quantizer, Tensor::from(labels, {static_cast<int64_t>(labels.size())}), seeds, options);
    return join_scales(s.indices);
  }
};

TEST(Sampler, DrawsDependOnTheImagesOwnSeedOnly) {
  Sampling m;
  const SampleOptions options{.cfg = 1.5, .top_k = 20, .top_p = 0.95};
  const Tensor together = m.run({0, 1, 2, 1}, {7, 8, 9, 8}, options);
  EXPECT_SAME(together.slice(0, 1, 2).contiguous(), m.run({1}, {8}, options));
  EXPECT_SAME(together.slice(0, 1, 2).contiguous(), together.slice(0, 3, 4).contiguous());
  EXPECT_SAME(together, m.run({0, 1, 2, 1}, {7, 8, 9, 8}, options));
  EXPECT_NE(together.to_vector<int64_t>(), m.run({0, 1, 2, 1}, {17, 18, 19, 18}, options).to_vector<int64_t>());
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  Sampling m;
  m.config.patch_nums = {1};
  Generator g(2);
  VarTransformer model(m.config, g);
  Quantizer quantizer(QuantizerConfig{.vocab_size = 33, .channels = 4, .patch_nums = {1}}, g);

  model.head.weight.value().copy_(random_tensor({33, 32}, 3, -0.3, 0.3));
  constexpr int64_t kDraws = 20000;
  std::vector<uint64_t> seeds(kDraws);
  for (size_t i = 0; i < seeds.size(); ++i) { seeds[i] = i; }
  const Tensor labels = Tensor::zeros({kDraws}, DType::kI64);
  const Sampled s = sample(model, quantizer, labels, seeds, {.cfg = 0});
  model.eval();
  const NoGrad no_grad;
  const Tensor p = softmax(model.forward(Tensor::zeros({1}, DType::kI64), Variable())).value();
  const std::vector<int64_t> hits = bincount(s.indices[0].flatten(), 33).to_vector<int64_t>();
  const std::vector<double> expected = p.to_vector<double>();
  double chi = 0;
  for (size_t v = 0; v < 33; ++v) {
    chi += std::pow(static_cast<double>(hits[v]) - kDraws * expected[v], 2) / (kDraws * expected[v]);
  }
  EXPECT_LT(chi, 75);  // 32 degrees of freedom: exceeded with probability 3e-5
}

TEST(Sampler, SmoothMixStaysNearTheCodes) {
  Sampling m;
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1}, {2});
  const SampleOptions options{.cfg = 1, .top_k = 5, .smoothing = Smoothing::kOn};
  const Sampled a = sample(*m.model, *m.quantizer, labels, {1, 2}, options);
  const Sampled b = sample(*m.model, *m.quantizer, labels, {1, 2}, options);
  EXPECT_SAME(a.f_hat, b.f_hat);
  // With one code left, the mix is that code.
  const SampleOptions greedy{.cfg = 1, .top_k = 1}, smooth_greedy{.cfg = 1, .top_k = 1, .smoothing = Smoothing::kOn};
  EXPECT_CLOSE(sample(*m.model, *m.quantizer, labels, {1, 2}, smooth_greedy).f_hat,
               sample(*m.model, *m.quantizer, labels, {1, 2}, greedy).f_hat, 1e-6);
}

TEST(Sampler, ReproducibleBitsDependOnNeitherBatchNorThreads) {
  Sampling m;
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 1, 3}, {5});
  const std::vector<uint64_t> seeds = {5, 6, 7, 8, 9};
  const SampleOptions options{.cfg = 1.5, .top_k = 20, .top_p = 0.95, .smoothing = Smoothing::kOn};
  const int before = threads();
  set_threads(1);
  const Sampled alone =
      sample_reproducibly(*m.model, *m.quantizer, labels.slice(0, 3, 4), {8}, options, {.f_hats = FHats::kEveryScale});
  const Sampled one = sample_reproducibly(*m.model, *m.quantizer, labels, seeds, options);
  set_threads(2);
  const Sampled two = sample_reproducibly(*m.model, *m.quantizer, labels, seeds, options);
  set_threads(before);
  EXPECT_SAME(one.f_hat, two.f_hat);
  EXPECT_SAME(join_scales(one.indices), join_scales(two.indices));
  EXPECT_SAME(alone.f_hat, two.f_hat.slice(0, 3, 4).contiguous());
  ASSERT_EQ(alone.f_hats.size(), 3U);
  EXPECT_SAME(alone.f_hats.back(), alone.f_hat);
  const Sampled together = sample(*m.model, *m.quantizer, labels, seeds, options);
  EXPECT_CLOSE(two.f_hat, together.f_hat, 1e-5);
}

TEST(Sampler, APollMayStopIt) {
  Sampling m;
  int polls = 0;
  const SampleExtras extras{.poll = [&](int64_t scale) {
    EXPECT_EQ(scale, polls);
    if (++polls == 3) { throw Interrupted("enough"); }
  }};
  const Tensor labels = Tensor::zeros({2}, DType::kI64);
  expect_error<Interrupted>([&] { sample(*m.model, *m.quantizer, labels, {1, 2}, {}, extras); }, "enough");
  EXPECT_EQ(polls, 3) << "once a scale";
}

TEST(Sampler, LeavesTheModelsModeAndRefusesNonsense) {
  Sampling m;
  m.model->train();
  m.run({0}, {1}, {});
  EXPECT_TRUE(m.model->training());
  expect_error<ShapeError>([&] { m.run({0, 1}, {1}, {}); }, "one seed per label");
  expect_error<ConfigError>([&] { m.run({0}, {1}, {.cfg = -1}); }, "cfg");
  expect_error<ConfigError>([&] { m.run({0}, {1}, {.top_p = 1.5}); }, "top_p");
  expect_error<IndexError>(
      [&] {
        m.run({0, 4}, {1, 2}, {});
      },
      "sample: label 1 is 4; the model has classes 0 to 2 and 3 for none");
  m.quantizer->to(device_from_name("cuda-host"));
  expect_error<DeviceError>([&] { m.run({0}, {1}, {}); },
                            "sample: the transformer is on cpu, the tokenizer on cuda-host; move one with to(device)");
  Quantizer other(QuantizerConfig{.vocab_size = 32, .channels = 4, .patch_nums = {1, 2, 4}});
  expect_error<ConfigError>([&] { sample(*m.model, other, Tensor::zeros({1}, DType::kI64), {1}, {}); },
                            "the tokenizer has 32");
}

}  // namespace
}  // namespace terrace
