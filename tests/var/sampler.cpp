#include "var/sampler.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "tests/support.h"
#include "tests/var/golden_var.h"
#include "var/vqvae.h"

namespace terrace {
namespace {

using nlohmann::json;

std::unique_ptr<Vqvae> golden_vqvae(const std::string& file, const std::vector<int64_t>& patch_nums) {
  const GoldenFile golden(file);
  const json j = json::parse(golden.attribute("", "config"));
  VqvaeConfig c;
  c.ch = j.at("ch");
  c.ch_mult = j.at("ch_mult").get<std::vector<int64_t>>();
  c.num_res_blocks = j.at("num_res_blocks");
  c.z_channels = j.at("z_channels");
  c.vocab_size = j.at("vocab_size");
  c.share_quant_resi = j.at("share_quant_resi");
  c.quant_resi = j.at("quant_resi");
  c.patch_nums = patch_nums;
  Generator g(1);
  auto vqvae = std::make_unique<Vqvae>(c, g);
  vqvae->load_state(golden_state(golden), {"ema_vocab_hit_SV"});
  vqvae->eval();
  return vqvae;
}

TEST(Sampler, GreedyRunsMatchScaleByScale) {
  const GoldenFile golden("sample_greedy.h5");
  const json config = json::parse(golden.attribute("", "config"));
  for (const json& run : config.at("runs")) {
    const std::string name = run.at("run"), out = "outputs/" + name;
    SCOPED_TRACE(name);
    auto model = golden_transformer(GoldenFile(run.at("var_file").get<std::string>()));
    auto vqvae = golden_vqvae(run.at("vae_file"), config.at("patch_nums"));
    const Tensor labels = golden.read("inputs/" + name + "/label_B");
    const SampleOptions options{.cfg = run.at("cfg"), .top_k = 1};
    int64_t scales = 0;
    const Sampled sampled =
        sample(*model, vqvae->quantizer(), labels, std::vector<uint64_t>(static_cast<size_t>(labels.dim(0)), 0),
               options, [&](const ScaleView& view) {
                 const std::string k = std::to_string(view.scale);
                 EXPECT_NEAR_TENSOR(view.logits, golden.read(out + "/logits_" + k), 5e-5);
                 EXPECT_SAME(view.indices, golden.read(out + "/idx_" + k));
                 EXPECT_NEAR_TENSOR(view.f_hat, golden.read(out + "/f_hat_" + k), 5e-5);
                 if (golden.has(out + "/next_" + k)) {
                   EXPECT_NEAR_TENSOR(view.next_input, golden.read(out + "/next_" + k), 5e-5);
                 }
                 ++scales;
               });
    EXPECT_EQ(scales, 4);
    const Tensor images = vqvae->f_hat_to_images(sampled.f_hat);
    EXPECT_NEAR_TENSOR((add_scalar(scale(Variable(images), 0.5), 0.5)), golden.read(out + "/img"), 1e-4);
  }
}

TEST(Sampler, FiltersMatch) {
  const GoldenFile golden("sample_greedy.h5");
  const json config = json::parse(golden.attribute("", "config"));
  for (const json& filter : config.at("filters")) {
    const std::string dataset = filter.at("dataset");
    SCOPED_TRACE(dataset);
    Tensor logits = golden.read("inputs/filter/" + filter.value("input", "logits")).clone();
    filter_logits_(logits, filter.at("top_k"), filter.at("top_p"));
    EXPECT_NEAR_TENSOR(softmax(Variable(logits)), golden.read("outputs/filter/" + dataset), 1e-6);
  }
}

struct SmallModels {
  VarConfig config;
  std::unique_ptr<VarTransformer> model;
  std::unique_ptr<Quantizer> quantizer;

  SmallModels() {
    config.depth = 2;
    config.embed_dim = 32;
    config.num_heads = 2;
    config.patch_nums = {1, 2, 4};
    config.vocab_size = 33;
    config.Cvae = 4;
    config.num_classes = 3;
    Generator g(11);
    model = std::make_unique<VarTransformer>(config, g);
    scale_head(50);  // away from the nearly silent start
    quantizer =
        std::make_unique<Quantizer>(QuantizerConfig{.vocab_size = 33, .channels = 4, .patch_nums = {1, 2, 4}}, g);
  }
  void scale_head(double factor) {
    model->head.weight.value().copy_(scale(Variable(model->head.weight.value()), factor).value());
  }
  Tensor run(const std::vector<int64_t>& labels, const std::vector<uint64_t>& seeds, const SampleOptions& options) {
    const Sampled s =
        sample(*model, *quantizer, Tensor::from(labels, {static_cast<int64_t>(labels.size())}), seeds, options);
    return join_scales(s.indices);
  }
};

TEST(Sampler, DrawsDependOnTheImagesOwnSeedOnly) {
  SmallModels m;
  const SampleOptions options{.cfg = 1.5, .top_k = 20, .top_p = 0.95};
  const Tensor together = m.run({0, 1, 2, 1}, {7, 8, 9, 8}, options);
  EXPECT_SAME(together.slice(0, 1, 2).contiguous(), m.run({1}, {8}, options));
  EXPECT_SAME(together.slice(0, 1, 2).contiguous(), together.slice(0, 3, 4).contiguous());
  EXPECT_SAME(together, m.run({0, 1, 2, 1}, {7, 8, 9, 8}, options));
  EXPECT_NE(together.to_vector<int64_t>(), m.run({0, 1, 2, 1}, {17, 18, 19, 18}, options).to_vector<int64_t>());
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  SmallModels m;
  m.config.patch_nums = {1};
  Generator g(2);
  VarTransformer model(m.config, g);
  Quantizer quantizer(QuantizerConfig{.vocab_size = 33, .channels = 4, .patch_nums = {1}}, g);

  model.head.weight.value().copy_(random_tensor({33, 32}, 3, -0.3, 0.3));
  constexpr int64_t kDraws = 20000;
  std::vector<uint64_t> seeds(kDraws);
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i] = i;
  const Tensor labels = Tensor::zeros({kDraws}, DType::kI64);
  const Sampled s = sample(model, quantizer, labels, seeds, {.cfg = 0});
  model.eval();
  const NoGrad no_grad;
  const Tensor p = softmax(model.forward(Tensor::zeros({1}, DType::kI64), Variable())).value();
  const std::vector<int64_t> hits = bincount(s.indices[0].flatten(), 33).to_vector<int64_t>();
  const std::vector<double> expected = p.to_vector<double>();
  double chi = 0;
  for (size_t v = 0; v < 33; ++v)
    chi += std::pow(static_cast<double>(hits[v]) - kDraws * expected[v], 2) / (kDraws * expected[v]);
  EXPECT_LT(chi, 75);  // 32 degrees of freedom: exceeded with probability 3e-5
}

TEST(Sampler, SmoothMixStaysNearTheCodes) {
  SmallModels m;
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

TEST(Sampler, LeavesTheModelsModeAndRefusesNonsense) {
  SmallModels m;
  m.model->train();
  m.run({0}, {1}, {});
  EXPECT_TRUE(m.model->training());
  expect_error<ShapeError>([&] { m.run({0, 1}, {1}, {}); }, "one seed per label");
  expect_error<ConfigError>([&] { m.run({0}, {1}, {.cfg = -1}); }, "cfg");
  expect_error<ConfigError>([&] { m.run({0}, {1}, {.top_p = 1.5}); }, "top_p");
  expect_error<IndexError>([&] { m.run({4}, {1}, {}); }, "4");
  Quantizer other(QuantizerConfig{.vocab_size = 32, .channels = 4, .patch_nums = {1, 2, 4}});
  expect_error<ConfigError>([&] { sample(*m.model, other, Tensor::zeros({1}, DType::kI64), {1}, {}); },
                            "the tokenizer has 32");
}

}  // namespace
}  // namespace terrace
