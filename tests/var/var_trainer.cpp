#include "var/var_trainer.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "autograd/functions.h"
#include "tests/support.h"
#include "var/checkpoint.h"

namespace terrace {
namespace {

VarConfig toy_config() {
  VarConfig c;
  c.depth = 2;
  c.embed_dim = 32;
  c.num_heads = 2;
  c.patch_nums = {1, 2, 3};
  c.vocab_size = 13;
  c.Cvae = 4;
  c.num_classes = 3;
  c.drop_path_rate = 0.2;
  c.cond_drop_rate = 0.1;
  c.adaln_gamma_init = 0.1;
  return c;
}

/// Sequences that the class determines up to a few random tokens, and a table of vectors as the tokenizer.
VarTrainingData toy_data(int64_t count) {
  const Tensor codes = random_tensor({13, 4}, 21);
  Generator g(22);
  Tensor indices = randint(13, {count, 14}, g), labels = Tensor::empty({count}, DType::kI64);
  for (int64_t i = 0; i < count; ++i) {
    labels.data<int64_t>()[i] = i % 3;
    for (int64_t t = 2; t < 14; ++t) indices.data<int64_t>()[i * 14 + t] = (i % 3) * 4 + t % 4;
  }
  VarTrainingData data;
  data.indices = indices;
  data.labels = labels;
  const int64_t held_out = std::min<int64_t>(5, count);
  data.held_out_indices = indices.slice(0, 0, held_out).contiguous();
  data.held_out_labels = labels.slice(0, 0, held_out).contiguous();
  data.class_names = {"a", "b", "c"};
  data.tokenizer_hash = "0123";
  data.embed = [codes](const Tensor& i) {
    const NoGrad no_grad;
    return embedding(Variable(codes), i.slice(1, 0, 13).contiguous()).value();
  };
  return data;
}

VarTrainOptions toy_options(int64_t steps) {
  VarTrainOptions o;
  o.steps = steps;
  o.batch = 4;
  o.lr = 3e-3;
  o.log_every = 3;
  o.evaluate_every = 5;
  o.seed = 17;
  return o;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void train_to(const std::string& path, VarTrainOptions options, const std::string& resume = "") {
  Generator g(5);
  VarTransformer model(toy_config(), g);
  options.checkpoint_path = path;
  VarTrainer trainer(model, toy_data(11), options);
  if (!resume.empty()) trainer.resume(resume);
  trainer.run();
}

TEST(VarTrainer, LearnsToyTokensByHeart) {
  Generator g(5);
  VarConfig config = toy_config();
  config.cond_drop_rate = config.drop_path_rate = 0;
  VarTransformer model(config, g);
  VarTrainOptions options = toy_options(200);
  std::vector<VarStepRecord> records;
  VarTrainer trainer(model, toy_data(6), options, {.record = [&](const VarStepRecord& r) { records.push_back(r); }});
  trainer.run();
  EXPECT_NEAR(records.front().loss, std::log(13.0), 0.1);
  EXPECT_LT(records.back().scale_loss[2], 0.05);
  EXPECT_GT(records.back().held_out_accuracy, 0.9);
  EXPECT_EQ(records.front().position_gradient.size(), 14u);
  EXPECT_EQ(records.front().scale_gradient.size(), 3u);
  EXPECT_GT(records.front().scale_gradient[2], 0);
}

TEST(VarTrainer, TwoRunsWriteTheSameBytes) {
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(7));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // a clock in the file would count seconds
  train_to(folder / "b.h5", toy_options(7));
  const std::string a = bytes_of(folder / "a.h5");
  EXPECT_FALSE(a.empty());
  EXPECT_TRUE(a == bytes_of(folder / "b.h5"));
}

TEST(VarTrainer, AResumedRunEqualsTheUninterruptedOne) {
  const TemporaryFolder folder;
  train_to(folder / "whole.h5", toy_options(11));
  struct Stop {};
  {
    Generator g(5);
    VarTransformer model(toy_config(), g);
    VarTrainOptions options = toy_options(11);
    options.checkpoint_path = folder / "part.h5";
    options.checkpoint_every = 4;
    VarTrainer trainer(model, toy_data(11), options, {.progress = [](int64_t done, int64_t, double) {
                         if (done == 6) throw Stop();
                       }});
    EXPECT_THROW(trainer.run(), Stop);
  }
  EXPECT_EQ(load_transformer(folder / "part.h5").step, 6);
  VarTrainOptions options = toy_options(11);
  options.checkpoint_every = 4;
  train_to(folder / "resumed.h5", options, folder / "part.h5");
  EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "resumed.h5"));
}

TEST(VarTrainer, AccumulationAndRecomputationKeepTheCourse) {
  VarConfig config = toy_config();
  config.cond_drop_rate = config.drop_path_rate = 0;
  const auto loss_after = [&](int64_t accumulate, Recompute recompute) {
    Generator g(5);
    VarTransformer model(config, g);
    VarTrainOptions options = toy_options(8);
    options.batch = 5;
    options.accumulate = accumulate;
    options.recompute = recompute;
    VarTrainer trainer(model, toy_data(11), options);
    VarStepRecord last;
    for (int i = 0; i < 8; ++i) last = trainer.step();
    return last;
  };
  const VarStepRecord plain = loss_after(1, Recompute::kNothing);
  EXPECT_EQ(plain.loss, loss_after(1, Recompute::kBlocks).loss);
  const VarStepRecord sliced = loss_after(2, Recompute::kNothing);
  EXPECT_NEAR(plain.loss, sliced.loss, 1e-4);
  EXPECT_NEAR(plain.gradient_norm, sliced.gradient_norm, 1e-3 * plain.gradient_norm);
  EXPECT_NEAR(plain.scale_gradient[1], sliced.scale_gradient[1], 1e-3 * plain.scale_gradient[1]);
}

TEST(VarTrainer, EveryEncodingTrainsAndReloads) {
  const TemporaryFolder folder;
  for (const std::string& kind : positional_kind_names()) {
    for (const bool level : {true, false}) {
      SCOPED_TRACE(cat(kind, level ? " with" : " without", " level embedding"));
      VarConfig config = toy_config();
      config.positions.kind = positional_kind_from_name(kind);
      config.positions.level_embedding = level;
      Generator g(5);
      VarTransformer model(config, g);
      VarTrainer trainer(model, toy_data(11), toy_options(2));
      trainer.run();
      EXPECT_EQ(trainer.log().front().position_gradient.size(), 14u);
      EXPECT_GT(trainer.log().front().scale_gradient[0], 0);
      trainer.save(folder / "a.h5");
      const LoadedTransformer loaded = load_transformer(folder / "a.h5");
      const State stored = loaded.model->state();
      for (const auto& [name, value] : model.state()) EXPECT_SAME(value, stored.at(name));
    }
  }
}

TEST(VarTrainer, DecaysMatricesOnly) {
  VarConfig config = toy_config();
  config.shared_aln = true;
  Generator g(5);
  const VarTransformer model(config, g);
  for (const ParameterGroup& group : decay_groups(model.named_parameters(), VarTransformer::no_decay_names())) {
    for (const auto& [name, parameter] : group.params) {
      const bool decays = name.ends_with("weight") && name != "lvl_embed.weight";
      EXPECT_EQ(group.weight_decay_scale != 0, decays) << name;
    }
  }
}

TEST(VarTrainer, CheckpointsHoldWhatSamplingNeeds) {
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(2));
  const LoadedTransformer loaded = load_transformer(folder / "a.h5");
  EXPECT_EQ(loaded.step, 2);
  EXPECT_EQ(loaded.model->config(), toy_config());
  EXPECT_EQ(loaded.class_names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(loaded.tokenizer_hash, "0123");
  EXPECT_EQ(loaded.initial.count("pos_1LC"), 1u);
  EXPECT_GT(absolute_error(loaded.initial.at("pos_1LC"), loaded.model->positions().learned()), 0);
  EXPECT_FALSE(loaded.model->training());
}

TEST(VarTrainer, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(2));
  VarTrainOptions other = toy_options(3);
  expect_error<ConfigError>([&] { train_to(folder / "b.h5", other, folder / "a.h5"); },
                            "another set of training options");
  expect_error<IoError>([&] { train_to(folder / "b.h5", toy_options(2), folder / "none.h5"); }, "none.h5");
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainingData data = toy_data(4);
  data.labels.data<int64_t>()[1] = 3;
  expect_error<IndexError>([&] { VarTrainer(model, data, toy_options(2)); }, "class 3");
  data = toy_data(4);
  data.indices = data.indices.slice(1, 0, 13).contiguous();
  expect_error<ShapeError>([&] { VarTrainer(model, data, toy_options(2)); }, "training tokens");
  other.batch = 0;
  expect_error<ConfigError>([&] { VarTrainer(model, toy_data(4), other); }, "batch");
  EXPECT_FALSE(std::filesystem::exists(folder / "b.h5"));
}

}  // namespace
}  // namespace terrace
