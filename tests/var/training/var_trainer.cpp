#include "var/training/var_trainer.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "autograd/functions.h"
#include "tests/support.h"
#include "tests/var/small_models.h"
#include "tests/var/training/toy_training.h"
#include "tests/var/transformer/one_thread.h"
#include "var/positions/encodings.h"
#include "var/weights/checkpoint.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

TEST(VarTrainer, TheLastHeldOutLossIsThatOfAllImagesWithoutSmoothing) {
  const OneThread one_thread;
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainOptions options = toy_options(6);
  options.evaluate_images = 3;
  options.label_smoothing = 0.3;
  const VarTrainingData data = toy_data(11);
  VarTrainer trainer(model, data, options);
  trainer.run();
  const VarStepRecord &curve = trainer.log()[trainer.log().size() - 2], &last = trainer.log().back();
  EXPECT_EQ(curve.step, 5);
  EXPECT_EQ(curve.held_out_images, 3);
  EXPECT_EQ(last.held_out_images, 7);
  model.eval();
  const NoGrad no_grad;
  const Variable input(data.quantizer->indices_to_var_input(data.held_out_indices));
  const Variable logits = model.forward(data.held_out_labels, input);
  EXPECT_NEAR(last.held_out_loss, mean(cross_entropy(logits, data.held_out_indices)).item<double>(), 1e-5);
  EXPECT_EQ(trainer.evaluate().loss, last.held_out_loss);
  EXPECT_EQ(trainer.evaluate(VarTrainer::HeldOutPart::kSome).images, 3);
}

TEST(VarTrainer, LearnsToyTokens) {
  const OneThread one_thread;
  Generator g(5);
  VarConfig config = toy_config();
  config.cond_drop_rate = config.drop_path_rate = 0;
  VarTransformer model(config, g);
  VarTrainOptions options = toy_options(100);
  options.lr = 1e-2;
  options.evaluate_every = 0;
  options.log_every = 25;
  std::vector<VarStepRecord> records;
  VarTrainer trainer(model, toy_data(6), options, {.record = [&](const VarStepRecord& r) { records.push_back(r); }});
  trainer.run();
  EXPECT_NEAR(records.front().loss, std::log(13.0), 0.1);
  EXPECT_LT(records.back().scale_loss[2], 0.05);
  EXPECT_GT(records.back().held_out_accuracy, 0.8) << "12 of the 14 tokens follow from the class";
  EXPECT_EQ(records.front().position_gradient.size(), 14u);
  EXPECT_EQ(records.front().scale_gradient.size(), 3u);
  EXPECT_GT(records.front().scale_gradient[2], 0);
}

TEST(VarTrainer, TwoRunsWriteTheSameBytes) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(7));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // a clock in the file would count seconds
  train_to(folder / "b.h5", toy_options(7));
  const std::string a = bytes_of(folder / "a.h5");
  EXPECT_FALSE(a.empty());
  EXPECT_TRUE(a == bytes_of(folder / "b.h5"));
}

TEST(VarTrainer, AResumedRunEqualsTheUninterruptedOne) {
  const OneThread one_thread;
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
                         if (done == 6) { throw Stop(); }
                       }});
    EXPECT_THROW(trainer.run(), Stop);
  }
  EXPECT_EQ(Hdf5File::open(folder / "part.h5").read_attr_int("/", "step"), 6);
  VarTrainOptions options = toy_options(11);
  options.checkpoint_every = 4;
  train_to(folder / "resumed.h5", options, folder / "part.h5");
  EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "resumed.h5"));
}

VarTrainOptions in_bf16(VarTrainOptions options) {
  options.dtype = DType::kBF16;
  return options;
}

/// Roundings to bf16 between a token and its logits: where it enters, the last norm and the head's weights; per block
/// two norms, four products of rounded weights, probabilities and the attended, GELU, two sums. Each is of relative
/// size 2^-9 at most and as good as independent of the others: together four deviations are 4 sqrt(n / 3) 2^-9.
double relative_error_of_logits(const VarConfig& config) {
  const double n = static_cast<double>(3 + 13 * config.depth);
  return 4 * std::sqrt(n / 3) * 0x1p-9;
}

TEST(VarTrainer, InBf16LogitsAreThoseOfF32WithinTheirRounding) {
  const OneThread one_thread;
  for (const bool shared : {false, true}) {
    VarConfig config = toy_config();
    config.shared_aln = shared;
    Generator g(5);
    VarTransformer model(config, g);
    VarTrainOptions options = toy_options(60);
    options.lr = 1e-2;
    options.evaluate_every = 0;
    const VarTrainingData data = toy_data(6);
    VarTrainer(model, data, options).run();
    model.eval();
    const NoGrad no_grad;
    const Variable input(data.quantizer->indices_to_var_input(data.indices));
    const auto logits = [&] { return model.forward(data.labels, input); };
    const Variable wide = logits();
    const ComputeCopies copies(model.compute_in_bf16());
    const ComputeWith scope(copies);
    const Variable narrow = logits();
    EXPECT_EQ(narrow.dtype(), DType::kF32);
    EXPECT_GT(absolute_error(narrow, to(to(narrow, DType::kBF16), DType::kF32)), 0) << "the logits are rounded to bf16";
    EXPECT_CLOSE(narrow, wide, relative_error_of_logits(config));
    const Variable loss = mean(cross_entropy(narrow, data.indices));
    EXPECT_EQ(loss.dtype(), DType::kF32);
    // The loss moves by twice the logits' error at most: its own logit's, and the normaliser's.
    const double largest = max(abs(wide)).item<double>();
    EXPECT_NEAR(loss.item<double>(), mean(cross_entropy(wide, data.indices)).item<double>(),
                2 * relative_error_of_logits(config) * largest);
  }
}

TEST(VarTrainer, LearnsInBf16AsInF32) {
  const OneThread one_thread;
  VarConfig config = toy_config();
  config.cond_drop_rate = config.drop_path_rate = 0;
  const auto train_in = [&](DType dtype) {
    Generator g(5);
    VarTransformer model(config, g);
    VarTrainOptions options = toy_options(100);
    options.lr = 1e-2;
    options.dtype = dtype;
    VarTrainer trainer(model, toy_data(6), options);
    std::vector<VarStepRecord> records;
    for (int i = 0; i < 100; ++i) { records.push_back(trainer.step()); }
    return records;
  };
  const std::vector<VarStepRecord> wide = train_in(DType::kF32), narrow = train_in(DType::kBF16);
  const double start = wide.front().loss;
  // While the loss falls, to a fortieth within 30 steps, the two differ by what rounding to bf16 moves the logits, 2^-9
  // of the largest loss: the optimizer updates f32 masters. What is left afterwards is noise in which rounding is
  // amplified.
  for (size_t i = 0; i < 30; ++i) { EXPECT_NEAR(narrow[i].loss, wide[i].loss, 0x1p-9 * start) << "step " << i + 1; }
  EXPECT_LT(wide[29].loss, start / 40);
  EXPECT_NEAR(narrow.back().loss, wide.back().loss, 0x1p-9 * start);
  EXPECT_LT(narrow.back().scale_loss[2], 0.05);
  EXPECT_NEAR(narrow.front().gradient_norm, wide.front().gradient_norm, 0.02 * wide.front().gradient_norm);
  EXPECT_GT(narrow.front().scale_gradient[2], 0);
}

TEST(VarTrainer, InBf16AResumedRunEqualsTheUninterruptedOne) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "whole.h5", in_bf16(toy_options(9)));
  train_to(folder / "again.h5", in_bf16(toy_options(9)));
  EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "again.h5"));
  struct Stop {};
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainOptions options = in_bf16(toy_options(9));
  options.checkpoint_path = folder / "part.h5";
  VarTrainer trainer(model, toy_data(11), options, {.progress = [](int64_t done, int64_t, double) {
                       if (done == 4) { throw Stop(); }
                     }});
  EXPECT_THROW(trainer.run(), Stop);
  const LoadedTransformer stored = load_transformer(folder / "part.h5");
  const State masters = model.state();
  for (const auto& [name, value] : stored.model->state()) { EXPECT_SAME(value, masters.at(name)) << name; }
  for (const auto& [name, parameter] : stored.model->named_parameters()) { EXPECT_EQ(parameter.dtype(), DType::kF32); }
  train_to(folder / "resumed.h5", in_bf16(toy_options(9)), folder / "part.h5");
  EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "resumed.h5"));
  expect_error<ConfigError>([&] { train_to(folder / "b.h5", toy_options(9), folder / "part.h5"); },
                            "part.h5: was trained with dtype = \"bf16\", not \"f32\"; resume with the same options");
}

TEST(VarTrainer, AccumulationAndRecomputationKeepTheCourse) {
  const OneThread one_thread;
  VarConfig config = toy_config();
  config.cond_drop_rate = config.drop_path_rate = 0;
  const auto loss_after = [&](int64_t accumulate, Recompute recompute, DType dtype = DType::kF32) {
    Generator g(5);
    VarTransformer model(config, g);
    VarTrainOptions options = toy_options(8);
    options.batch = 5;
    options.accumulate = accumulate;
    options.recompute = recompute;
    options.dtype = dtype;
    VarTrainer trainer(model, toy_data(11), options);
    VarStepRecord last;
    for (int i = 0; i < 8; ++i) { last = trainer.step(); }
    return last;
  };
  const VarStepRecord plain = loss_after(1, Recompute::kNothing);
  EXPECT_EQ(plain.loss, loss_after(1, Recompute::kBlocks).loss);
  EXPECT_EQ(loss_after(1, Recompute::kNothing, DType::kBF16).loss,
            loss_after(1, Recompute::kBlocks, DType::kBF16).loss);
  const VarStepRecord accumulated = loss_after(2, Recompute::kNothing);
  EXPECT_NEAR(plain.loss, accumulated.loss, 1e-4);
  EXPECT_NEAR(plain.gradient_norm, accumulated.gradient_norm, 1e-3 * plain.gradient_norm);
  EXPECT_NEAR(plain.scale_gradient[1], accumulated.scale_gradient[1], 1e-3 * plain.scale_gradient[1]);
}

TEST(VarTrainer, EveryEncodingTrainsAndReloads) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  for (const std::string& kind : encoding_names()) {
    for (const bool level : {true, false}) {
      SCOPED_TRACE(cat(kind, level ? " with" : " without", " level embedding"));
      VarConfig config = toy_config();
      config.positions.kind = kind;
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
      for (const auto& [name, value] : model.state()) { EXPECT_SAME(value, stored.at(name)); }
    }
  }
}

TEST(VarTrainer, DecaysMatricesOnly) {
  const OneThread one_thread;
  VarConfig config = toy_config();
  config.shared_aln = true;
  Generator g(5);
  const VarTransformer model(config, g);
  for (const ParameterGroup& group : decay_groups(model.named_parameters(), model.no_decay_names())) {
    for (const auto& [name, parameter] : group.params) {
      const bool decays = name.ends_with("weight") && name != "lvl_embed.weight";
      EXPECT_EQ(group.weight_decay_scale != 0, decays) << name;
    }
  }
}

TEST(VarTrainer, CheckpointsHoldWhatSamplingNeeds) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(2));
  const LoadedTransformer loaded = load_transformer(folder / "a.h5");
  EXPECT_EQ(loaded.model->config(), toy_config());
  EXPECT_EQ(loaded.class_names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(loaded.tokenizer_hash, "0123");
  const State initial = read_state(Hdf5File::open(folder / "a.h5"), "initial");
  EXPECT_EQ(initial.count("pos_1LC"), 1u);
  EXPECT_GT(absolute_error(initial.at("pos_1LC"), loaded.model->parameter("pos_1LC")), 0);
  EXPECT_FALSE(loaded.model->training());
}

TEST(VarTrainer, RefusesWhatDoesNotFit) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "a.h5", toy_options(2));
  VarTrainOptions other = toy_options(3);
  other.lr = 1e-2;
  other.clip = 1;
  expect_error<ConfigError>([&] { train_to(folder / "b.h5", other, folder / "a.h5"); },
                            "a.h5: was trained with lr = 0.003, not 0.01; clip = 2.0, not 1.0; resume with the same");
  expect_error<ConfigError>([&] { train_to(folder / "b.h5", toy_options(1), folder / "a.h5"); },
                            "a.h5: has 2 steps already, more than steps = 1");
  {
    Generator wide(5);
    VarConfig config = toy_config();
    config.positions.kind = "none";
    config.mlp_ratio = 2;
    VarTransformer of_other(config, wide);
    VarTrainer trainer(of_other, toy_data(11), toy_options(2));
    expect_error<ConfigError>([&] { trainer.resume(folder / "a.h5"); },
                              cat("a.h5: holds a model of mlp-ratio = ", toy_config().mlp_ratio,
                                  ".0, not 2.0; "
                                  "pe = \"",
                                  toy_config().positions.kind, "\", not \"none\"; resume with"));
    VarTransformer same(toy_config(), wide);
    VarTrainer on_others(same, toy_data(10), toy_options(2));
    expect_error<ConfigError>([&] { on_others.resume(folder / "a.h5"); },
                              "a.h5: was trained on other tokens; resume with the same images");
    VarTrainingData of_another = toy_data(10);
    of_another.tokenizer_hash = "4567";
    VarTrainer on_anothers(same, of_another, toy_options(2));
    expect_error<ConfigError>([&] { on_anothers.resume(folder / "a.h5"); },
                              "a.h5: was trained on other tokens, those of tokenizer = \"0123\", not \"4567\"; resume "
                              "with the same tokenizer");
  }
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
  other = toy_options(2);
  other.accumulate = 3;
  struct TwoRanks : Communicator {
    TwoRanks() : Communicator(0, 2) {}
    void sum(const std::vector<Tensor>&) override {}
  } two;
  expect_error<ConfigError>([&] { VarTrainer(model, toy_data(4), other, {}, &two); },
                            "VAR training: accumulate must be a multiple of the 2 ranks, got 3");
  other = toy_options(2);
  other.dtype = DType::kF16;
  expect_error<ConfigError>([&] { VarTrainer(model, toy_data(4), other); },
                            "VAR training: dtype must be f32 or bf16, got f16");
  EXPECT_FALSE(std::filesystem::exists(folder / "b.h5"));
}

}  // namespace
}  // namespace terrace
