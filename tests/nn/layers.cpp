#include "nn/layers.h"

#include <cmath>

#include "autograd/functions.h"
#include "tests/support.h"

namespace terrace {
namespace {

double largest(const Variable& v) {
  double top = 0;
  for (const double x : v.value().to_vector<double>()) { top = std::max(top, std::fabs(x)); }
  return top;
}

TEST(Layers, LinearIsXWTransposedPlusB) {
  Generator g(1);
  const Linear layer(5, 3, Bias::kYes, g);
  const Variable x = random_leaf({2, 4, 5}, 2);
  EXPECT_CLOSE(layer(x), matmul(x, transpose(layer.weight, 0, 1)) + layer.bias, 1e-6);
  EXPECT_LE(largest(layer.weight), 1 / std::sqrt(5.0));
  EXPECT_FALSE(Linear(5, 3, Bias::kNo).bias.defined());
  expect_error<ConfigError>([] { Linear(0, 3); }, "the number of inputs");
}

TEST(Layers, StartsDependOnTheGeneratorAlone) {
  Generator a(7), b(7), c(8);
  const Conv2d first(2, 3, 3, 1, 1, Bias::kYes, a), second(2, 3, 3, 1, 1, Bias::kYes, b),
      third(2, 3, 3, 1, 1, Bias::kYes, c);
  EXPECT_SAME(first.weight, second.weight.value());
  EXPECT_SAME(first.bias, second.bias.value());
  EXPECT_GT(absolute_error(first.weight, third.weight), 0);
}

TEST(Layers, Conv2dPadsAsAsked) {
  const Conv2d same(2, 3, 3, 1, 1), down(2, 3, 3, 2, Padding2d{0, 1, 0, 1}, Bias::kNo);
  const Variable x = random_leaf({1, 2, 8, 6}, 3);
  EXPECT_EQ(same(x).shape(), (Shape{1, 3, 8, 6}));
  EXPECT_EQ(down(x).shape(), (Shape{1, 3, 4, 3}));
  EXPECT_CLOSE(down(x), conv2d(pad2d(x, {0, 1, 0, 1}), down.weight, {}, {.stride = 2, .pad = {}}), 1e-6);
  EXPECT_LE(largest(same.weight), 1 / std::sqrt(18.0));
}

TEST(Layers, Norms) {
  GroupNorm group(2, 4);
  const Variable map = random_leaf({2, 4, 3, 3}, 4, 0, 5);
  EXPECT_CLOSE(group.normalize_silu(map), silu(group(map)), 1e-6);
  EXPECT_NEAR_TENSOR(mean(reshape(group(map), {2, 2, 18}), {2}), Tensor::zeros({2, 2}), 1e-5);
  expect_error<ConfigError>([] { GroupNorm(3, 4); }, "4 channels do not divide into 3 groups");

  LayerNorm affine(6), plain(6, 1e-6, Affine::kNo);
  const Variable x = random_leaf({2, 3, 6}, 5), scale = random_leaf({2, 1, 6}, 6), shift = random_leaf({2, 1, 6}, 7);
  EXPECT_CLOSE(affine(x), plain(x), 1e-6);
  EXPECT_CLOSE(plain.modulate(x, scale, shift), plain(x) * add_scalar(scale, 1) + shift, 2e-6);
  EXPECT_TRUE(plain.named_parameters().empty());
  expect_error<ConfigError>([&] { affine.modulate(x, scale, shift); }, "Affine::kNo");
  expect_error<ShapeError>([&] { plain(map); }, "LayerNorm: x must be (..., 6)");
}

TEST(Layers, EmbeddingReadsRows) {
  const Embedding table(5, 3);
  const Tensor rows = Tensor::from(std::vector<int64_t>{4, 0, 4}, {3});
  const Tensor y = table(rows).value();
  EXPECT_SAME(y.select(0, 2).contiguous(), table.weight.value().select(0, 4).contiguous());
  EXPECT_SAME(y.select(0, 1).contiguous(), table.weight.value().select(0, 0).contiguous());
}

TEST(Layers, SiluLinear) {
  const SiluLinear ada(3, 4);
  const Variable x = random_leaf({2, 3}, 8);
  EXPECT_CLOSE(ada(x), ada.linear(silu(x)), 1e-6);
  EXPECT_EQ(ada.named_parameters()[0].first, "1.weight");
}

TEST(Layers, ProbabilitiesAreChecked) {
  expect_error<ConfigError>([] { Dropout(1); }, "Dropout: the probability must be in [0, 1)");
  expect_error<ConfigError>([] { DropPath(-0.1); }, "DropPath");
  Dropout drop(0.25);
  const Variable x(Tensor::full({100, 100}, 1));
  const double kept = mean(drop(x)).item<double>();
  EXPECT_NEAR(kept, 1, 5 * std::sqrt(0.25 / 0.75 / 1e4));  // five standard deviations of the mean
}

}  // namespace
}  // namespace terrace
