#include "var/transformer/transformer.h"

#include <cmath>

#include "autograd/functions.h"
#include "nn/weight_scopes.h"
#include "tensor/reduce.h"
#include "tests/support.h"
#include "tests/var/golden_var.h"
#include "tests/var/transformer/scale_logits.h"
#include "var/positions/encodings.h"

namespace terrace {
namespace {

constexpr double kForward = 2e-5;

class GoldenVar : public testing::TestWithParam<const char*> {
 protected:
  GoldenFile golden{GetParam()};
  std::unique_ptr<VarTransformer> model = golden_transformer(golden);
  Tensor labels = golden.read("inputs/label_B");
  Tensor input = golden.read("inputs/x_BLCv_wo_first_l");
  Tensor targets = golden.read("inputs/gt_BL");
};

TEST_P(GoldenVar, FirstScaleNeedsNoInput) {
  const NoGrad no_grad;
  const Variable empty(Tensor::zeros({labels.dim(0), 0, model->config().Cvae}));
  EXPECT_SAME(model->forward(labels, Variable()), model->forward(labels, empty));
}

TEST_P(GoldenVar, RecomputationGivesTheSameBits) {
  mean(cross_entropy(model->forward(labels, Variable(input)), targets)).backward();
  std::vector<Tensor> expected;
  for (const Variable& p : model->parameters()) { expected.push_back(p.grad().clone()); }
  model->zero_grad();
  mean(cross_entropy(model->forward(labels, Variable(input), Recompute::kBlocks), targets)).backward();
  size_t i = 0;
  for (const auto& [name, parameter] : model->named_parameters()) {
    SCOPED_TRACE(name);
    EXPECT_SAME(parameter.grad(), expected[i++]);
  }
}

TEST_P(GoldenVar, CachedScalesGiveTheTeacherForcedLogits) {
  model->eval();
  const NoGrad no_grad;
  const Tensor expected = model->forward(labels, Variable(input)).value();
  EXPECT_CLOSE(scale_logits(*model, labels, input), expected, kForward);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenVar,
                         testing::Values("var_tiny.h5", "var_tiny_saln.h5", "var_variant_plain.h5",
                                         "var_variant_saln_l2.h5"));

VarConfig small_config() {
  VarConfig c;
  c.depth = 3;
  c.embed_dim = 32;
  c.num_heads = 2;
  c.patch_nums = {1, 2, 3};
  c.vocab_size = 17;
  c.Cvae = 5;
  c.num_classes = 4;
  c.drop_path_rate = 0;
  c.cond_drop_rate = 0;
  return c;
}

TEST(VarTransformer, NamesAreTheOfficialOnes) {
  for (const char* file : {"var_tiny.h5", "var_tiny_saln.h5"}) {
    const GoldenFile golden(file);
    Generator g(1);
    VarTransformer model(golden_config(golden), g);
    State state = model.state();
    for (const std::string& name : golden.list("state_dict")) {
      if (name == "attn_bias_for_masking") { continue; }
      EXPECT_EQ(state.count(name), 1u) << name;
      state.erase(name);
    }
    for (const auto& [name, value] : state) { ADD_FAILURE() << "extra: " << name; }
  }
}

TEST(VarTransformer, StartsAsTheOfficialModel) {
  VarConfig c = small_config();
  c.depth = 2;
  c.embed_dim = 128;
  c.vocab_size = 512;
  c.adaln_gamma_init = 1e-3;
  Generator g(7);
  VarTransformer model(c, g);
  const double std = std::sqrt(1.0 / (3 * 128));
  // 16384 draws or more: the sample's RMS is within 3 % at five sigma.
  const auto expect_rms = [](const Tensor& t, double expected) {
    EXPECT_NEAR(root_mean_square(t.contiguous()) / expected, 1, 0.03);
  };
  const VarBlock& block = *model.blocks[1];
  expect_rms(block.attn.mat_qkv.weight.value(), std);
  expect_rms(block.attn.proj.weight.value(), std / std::sqrt(4.0));
  expect_rms(block.ffn.fc1.weight.value(), std);
  expect_rms(block.ffn.fc2.weight.value(), std / std::sqrt(4.0));
  expect_rms(block.ada_lin->linear.weight.value().slice(0, 0, 256), std * 1e-3);
  expect_rms(block.ada_lin->linear.weight.value().slice(0, 256, 768), std * 0.5);
  expect_rms(model.head_ada_lin.linear.weight.value(), std * 0.5);
  expect_rms(model.head.weight.value(), std * 0.02);
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (!name.ends_with("bias")) { continue; }
    EXPECT_EQ(squared_norm(parameter.value()), 0) << name;
  }
  for (const float s : block.attn.scale_mul.value().to_vector<float>()) { EXPECT_FLOAT_EQ(s, std::log(4.0f)); }
}

TEST(VarTransformer, WeightsInBf16GiveNearlyTheSameLogits) {
  VarConfig c = small_config();
  c.depth = 6;
  c.embed_dim = 128;
  c.adaln_gamma_init = 0.5;  // open gates: every product counts
  Generator a(7), b(8), data(9);
  VarTransformer wide(c, a);
  const LinearWeightsIn scope(DType::kBF16);
  VarTransformer narrow(c, b);
  narrow.load_state(wide.state());
  ASSERT_EQ(narrow.blocks[5]->ffn.fc1.weight.dtype(), DType::kBF16);
  const NoGrad no_grad;
  const Tensor labels = randint(c.num_classes, {3}, data);
  const Variable input(randn({3, c.length() - 1, c.Cvae}, data));
  wide.eval();
  narrow.eval();
  const Tensor expected = wide.forward(labels, input).value();
  const Tensor at_once = narrow.forward(labels, input).value(), by_scales = scale_logits(narrow, labels, input.value());
  for (const Tensor& found : {at_once, by_scales}) {
    EXPECT_EQ(found.dtype(), DType::kF32);
    const double difference = root_mean_square((Variable(found) - Variable(expected)).value());
    EXPECT_LT(difference, 0.02 * root_mean_square(expected));
    EXPECT_GT(difference, 1e-4 * root_mean_square(expected)) << "the weights were not rounded";
  }
  EXPECT_EQ(narrow.make_cache(1).keys[0].dtype(), DType::kBF16);
}

TEST(VarTransformer, SameSeedSameStart) {
  Generator a(3), b(3);
  VarTransformer first(small_config(), a), second(small_config(), b);
  for (const auto& [name, value] : first.state()) { EXPECT_SAME(value, second.state().at(name)); }
  EXPECT_EQ(a.offset, b.offset);
}

TEST(VarTransformer, WhatEncodingsHaveInCommonStartsTheSame) {
  const auto start_of = [](const std::string& kind, bool level_embedding) {
    VarConfig config = small_config();
    config.positions.kind = kind;
    config.positions.level_embedding = level_embedding;
    Generator g(3, 11);
    return VarTransformer(config, g).state();
  };
  const State learned = start_of("learned", true), mixed = start_of("mixed", true);
  EXPECT_SAME(learned.at("pos_1LC"), mixed.at("pos_1LC"));
  for (const std::string& kind : encoding_names()) {
    Generator g(1);
    VarConfig config = small_config();
    config.positions.kind = kind;
    const State of_encoding = make_encoding(config, g)->state();
    for (const bool level_embedding : {true, false}) {
      SCOPED_TRACE(cat(kind, level_embedding ? " with" : " without", " level embedding"));
      size_t common = 0;
      for (const auto& [name, value] : start_of(kind, level_embedding)) {
        if (of_encoding.contains(name)) { continue; }
        EXPECT_SAME(value, learned.at(name));
        ++common;
      }
      EXPECT_EQ(common, learned.size() - (level_embedding ? 1 : 2));
    }
  }
}

TEST(VarTransformer, DropsLabelsAndPathsInTrainingOnly) {
  VarConfig c = small_config();
  c.cond_drop_rate = 0.5;
  c.drop_path_rate = 0.5;
  c.adaln_gamma_init = 1;
  Generator g(3);
  VarTransformer model(c, g);
  const Tensor labels = Tensor::zeros({6}, DType::kI64);
  const Tensor input = random_tensor({6, 13, 5}, 4);
  const NoGrad no_grad;
  const auto run = [&](uint64_t seed) {
    default_generator() = Generator(seed);
    return model.forward(labels, Variable(input)).value();
  };
  model.train();
  EXPECT_SAME(run(1), run(1));
  EXPECT_GT(absolute_error(run(1), run(2)), 0);
  model.eval();
  EXPECT_SAME(run(1), run(2));
}

TEST(VarTransformer, ObserverSeesTheGradientOfTheTable) {
  for (const std::string& kind : encoding_names()) {
    VarConfig c = small_config();
    c.positions.kind = kind;
    Generator g(3);
    VarTransformer model(c, g);
    Tensor seen;
    model.observe_position_gradient([&](const Tensor& gradient) { seen = gradient.clone(); });
    const Tensor labels = Tensor::from(std::vector<int64_t>{0, 3}, {2});
    sum(square(model.forward(labels, Variable(random_tensor({2, 13, 5}, 4))))).backward();
    ASSERT_TRUE(seen.defined()) << kind;
    EXPECT_EQ(seen.shape(), (Shape{1, 14, 32}));
    if (kind == "learned") { EXPECT_SAME(seen, model.parameter("pos_1LC").grad()); }
  }
}

TEST(VarTransformer, RefusesWhatDoesNotFit) {
  Generator g(3);
  VarTransformer model(small_config(), g);
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 4}, {2});
  const auto run = [&](const Tensor& l, const Tensor& x) { return model.forward(l, Variable(x)); };
  EXPECT_NO_THROW(run(labels, random_tensor({2, 13, 5}, 1)));
  expect_error<ShapeError>([&] { run(labels, random_tensor({2, 12, 5}, 1)); }, "VAR: input must be (B, l-1, Cvae)");
  expect_error<ShapeError>([&] { run(labels, random_tensor({3, 13, 5}, 1)); }, "B=2");
  expect_error<ShapeError>([&] { run(labels, random_tensor({2, 13, 6}, 1)); }, "Cvae=5");
  expect_error<DTypeError>([&] { run(random_tensor({2}, 1), random_tensor({2, 13, 5}, 1)); }, "labels");
  expect_error<IndexError>(
      [&] {
        run(Tensor::from(std::vector<int64_t>{0, 5}, {2}), random_tensor({2, 13, 5}, 1));
      },
      "5");
}

TEST(VarTransformer, TinyPyramidsWork) {
  VarConfig c = small_config();
  c.patch_nums = {1};
  c.depth = 1;
  Generator g(3);
  VarTransformer model(c, g);
  const Variable logits = model.forward(Tensor::zeros({2}, DType::kI64), Variable());
  EXPECT_EQ(logits.shape(), (Shape{2, 1, 17}));
  sum(logits).backward();
}

}  // namespace
}  // namespace terrace
