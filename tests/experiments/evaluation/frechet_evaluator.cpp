#include "experiments/evaluation/frechet_evaluator.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tensor/random.h"
#include "tests/experiments/evaluation/first_layers.h"
#include "tests/support.h"

namespace terrace {
namespace {

VqvaeConfig tiny() {
  VqvaeConfig config = vqvae_preset32();
  config.ch = 8;
  config.ch_mult = {1, 1};
  config.num_res_blocks = 1;
  config.z_channels = 4;
  config.norm_groups = 4;
  config.patch_nums = {1, 2, 4};
  return config;
}

Tensor pictures(int64_t count, uint64_t seed) {
  Generator g(seed, 0);
  return randint(256, {count, 8, 8, 3}, g).to(DType::kU8);
}

TEST(FrechetEvaluator, TokenizerFeaturesAreMeansAndDeviationsOfItsMap) {
  Generator g(1);
  Vqvae tokenizer(tiny(), g);
  tokenizer.eval();
  const FeatureNetwork network = tokenizer_features(tokenizer);
  EXPECT_EQ(network.dim, 8);
  const Tensor images = pictures(2, 2);
  Tensor batch = Tensor::empty({2, 3, 8, 8});
  for (int64_t i = 0; i < 2; ++i) { batch.select(0, i).copy_(network.prepare(images.select(0, i).contiguous())); }
  const Tensor features = network.run(batch).features;
  const NoGrad no_grad;
  const std::vector<double> map =
      tokenizer.encode(Variable(batch)).value().select(0, 1).select(0, 2).contiguous().to_vector<double>();
  double mean = 0, squares = 0;
  for (const double v : map) { mean += v / static_cast<double>(map.size()); }
  for (const double v : map) { squares += (v - mean) * (v - mean) / static_cast<double>(map.size()); }
  EXPECT_NEAR(features.select(0, 1).select(0, 2).item<double>(), mean, 1e-6);
  EXPECT_NEAR(features.select(0, 1).select(0, 6).item<double>(), std::sqrt(squares), 1e-6);
}

TEST(FrechetEvaluator, IsZeroOfTheReferenceAndGrowsWithTheDifference) {
  Generator g(1);
  Vqvae tokenizer(tiny(), g);
  tokenizer.eval();
  const Tensor reference = pictures(70, 3);
  const auto evaluator = tokenizer_evaluator(tokenizer, reference);
  EXPECT_EQ(evaluator->reference_images(), 70);
  EXPECT_EQ(evaluator->name().find("FID"), std::string::npos);
  EXPECT_NEAR(evaluator->distance(reference), 0, 1e-9);
  Tensor darker = pictures(70, 4), dark = Tensor::zeros({70, 8, 8, 3}, DType::kU8);
  const double near = evaluator->distance(darker);
  dark.slice(0, 0, 1).copy_(darker.slice(0, 0, 1));
  EXPECT_GT(near, 0);
  EXPECT_GT(evaluator->distance(dark), 10 * near);
  expect_error<Error>([&] { evaluator->distance(pictures(1, 5)); }, "a set of 1 image has no covariance");
}

TEST(FrechetEvaluator, IsInceptionsWhereThereAreWeights) {
  Generator g(1);
  Vqvae tokenizer(tiny(), g);
  tokenizer.eval();
  const TemporaryFolder folder;
  write_first_layers(folder / "w.safetensors");
  ::setenv("TERRACE_CACHE", (folder / "cache").c_str(), 1);
  const Tensor reference = pictures(6, 3);
  const auto evaluator = open_evaluator(tokenizer, reference, {.images = 6, .weights = folder / "w.safetensors"});
  EXPECT_EQ(evaluator->name(), "FID(64)");
  EXPECT_NEAR(evaluator->distance(reference), 0, 1e-9);
  expect_error<ConfigError>(
      [&] { open_evaluator(tokenizer, reference, {.images = 6, .level = 768, .weights = folder / "w.safetensors"}); },
      "level 768 cannot be computed");
  EXPECT_TRUE(std::filesystem::exists(folder / "cache"));
  ::unsetenv("TERRACE_CACHE");
}

}  // namespace
}  // namespace terrace
