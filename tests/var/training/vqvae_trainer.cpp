#include "var/training/vqvae_trainer.h"

#include <chrono>

#include "data/datasets/subset.h"
#include "data/images/pixels.h"
#include "tensor/pointwise.h"
#include "tests/support.h"
#include "tests/var/training/small_tokenizer.h"
#include "tests/var/transformer/one_thread.h"
#include "var/positions/encoding.h"
#include "var/tokenizer/token_cache.h"
#include "var/weights/load.h"

namespace terrace {
namespace {

void expect_same_state(const Module& a, const Module& b) {
  const State right = b.state();
  for (const auto& [name, value] : a.state()) {
    SCOPED_TRACE(name);
    EXPECT_SAME(value, right.at(name));
  }
}

TEST(VqvaeTrainer, LearnsAFewImages) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  Vqvae& model = *fresh(holder);
  VqvaeTrainOptions options = quick();
  options.steps = 120;
  options.lr = 5e-3;
  options.log_every = 24;
  options.ema_decay = 0;
  options.revive_after = 20;
  options.l1_weight = options.edge_weight = 0;
  VqvaeTrainer trainer(model, data, &data, options);
  trainer.run();
  ASSERT_EQ(trainer.log().size(), 5u);
  EXPECT_LT(trainer.log().back().mse, 0.25 * trainer.log().front().mse);
  EXPECT_GT(trainer.evaluations().back().psnr, 20);
  EXPECT_GT(trainer.log().back().codes_used, 0.3);
}

TEST(VqvaeTrainer, ResumedEqualsUninterrupted) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  VqvaeTrainOptions options = quick();
  std::unique_ptr<Vqvae> whole, first, second;
  options.checkpoint_path = folder / "whole.h5";
  VqvaeTrainer straight(*fresh(whole), data, &data, options);
  straight.run();

  options.checkpoint_path = folder / "part.h5";
  VqvaeTrainCallbacks stop;
  stop.progress = [](int64_t done, int64_t, double) {
    if (done == 6) { throw Interrupted("stop here"); }
  };
  VqvaeTrainer interrupted(*fresh(first), data, &data, options, stop);
  EXPECT_THROW(interrupted.run(), Interrupted);
  options.workers = 2;
  VqvaeTrainer resumed(*fresh(second), data, &data, options);
  resumed.resume(folder / "part.h5");
  EXPECT_EQ(resumed.steps_done(), 6);
  resumed.run();

  expect_same_state(*whole, *second);
  const Hdf5File a = Hdf5File::open(folder / "whole.h5"), b = Hdf5File::open(folder / "part.h5");
  ASSERT_EQ(a.walk(), b.walk());
  for (const std::string& name : a.walk()) {
    SCOPED_TRACE(name);
    EXPECT_SAME(a.read(name), b.read(name));
  }
  EXPECT_EQ(straight.log().size(), resumed.log().size());
}

// The weights that are stored beside the others are those that count: they must not lag at the random start.
TEST(VqvaeTrainer, TheAverageForgetsTheStartAndFollowsCodes) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  VqvaeTrainOptions options = quick();
  options.ema_decay = 0.999;
  options.revive_after = 2;
  VqvaeTrainer trainer(*fresh(holder), data, &data, options);
  trainer.run();
  trainer.save(folder / "checkpoint.h5");
  int64_t revived = 0;
  for (const VqvaeStepRecord& r : trainer.log()) { revived += r.revived; }
  EXPECT_GT(revived, 0);
  const std::unique_ptr<Vqvae> averaged = load_vqvae(folder / "checkpoint.h5");
  std::unique_ptr<Vqvae> start;
  for (const char* name : {"encoder.conv_in.weight", "quantize.embedding.weight"}) {
    const Tensor first = fresh(start)->state().at(name), last = holder->state().at(name);
    EXPECT_LT(root_mean_square(sub(averaged->state().at(name), last)), 0.5 * root_mean_square(sub(first, last)))
        << name;
  }
}

TEST(VqvaeTrainer, TimesOnlyTheStepsItMade) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> first, second;
  VqvaeTrainOptions options = quick();
  options.steps = options.log_every = 4;
  VqvaeTrainCallbacks stop;
  stop.progress = [](int64_t done, int64_t, double) {
    if (done == 3) { throw Interrupted("stop here"); }
  };
  options.checkpoint_path = folder / "part.h5";
  VqvaeTrainer interrupted(*fresh(first), data, nullptr, options, stop);
  EXPECT_THROW(interrupted.run(), Interrupted);
  options.checkpoint_path.clear();
  VqvaeTrainer resumed(*fresh(second), data, nullptr, options);
  resumed.resume(folder / "part.h5");
  const auto began = std::chrono::steady_clock::now();
  resumed.run();
  const double one = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  ASSERT_EQ(resumed.log().size(), 1u);
  EXPECT_GT(resumed.log()[0].seconds_per_step, 0.5 * one) << "one of the record's four steps was made here";
}

TEST(VqvaeTrainer, AnEvaluationThatThrowsLeavesTheModelTraining) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  Vqvae& model = *fresh(holder);
  VqvaeTrainCallbacks callbacks;
  callbacks.evaluate = [](const VqvaeEvaluation&, Vqvae& evaluated) {
    EXPECT_FALSE(evaluated.training());
    throw Interrupted("stop here");
  };
  VqvaeTrainer trainer(model, data, &data, quick(), callbacks);
  trainer.step();
  const Tensor weight = model.state().at("encoder.conv_in.weight").clone();
  EXPECT_THROW(trainer.evaluate(), Interrupted);
  EXPECT_TRUE(model.training());
  EXPECT_SAME(model.state().at("encoder.conv_in.weight"), weight) << "the averages are taken out again";
}

TEST(VqvaeTrainer, LoadsWhatItStored) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  VqvaeTrainOptions options = quick();
  options.ema_decay = 0;
  options.steps = 2;
  options.checkpoint_path = folder / "checkpoint.h5";
  VqvaeTrainer trainer(*fresh(holder), data, &data, options);
  trainer.run();
  const std::unique_ptr<Vqvae> loaded = load_vqvae(options.checkpoint_path);
  EXPECT_EQ(loaded->config(), tiny());
  expect_same_state(*holder, *loaded);
  EXPECT_FALSE(loaded->training());
}

TEST(VqvaeTrainer, RefusesWhatDoesNotFit) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  VqvaeTrainOptions options = quick();
  options.steps = 1;
  options.checkpoint_path = folder / "checkpoint.h5";
  VqvaeTrainer(*fresh(holder), data, &data, options).run();
  VqvaeTrainOptions other = options;
  other.lr = 7e-4;
  VqvaeTrainer resumed(*holder, data, &data, other);
  expect_error<ConfigError>([&] { resumed.resume(options.checkpoint_path); },
                            "was trained with lr = 0.002, not 0.0007; resume with the same options");
  std::unique_ptr<Vqvae> deeper;
  VqvaeConfig two_blocks = tiny();
  two_blocks.num_res_blocks = 2;
  VqvaeTrainer of_other(*fresh(deeper, two_blocks), data, &data, options);
  expect_error<ConfigError>(
      [&] { of_other.resume(options.checkpoint_path); },
      "checkpoint.h5: holds a tokenizer of num-res-blocks = 1, not 2; resume with the same options");
  expect_error<IoError>([&] { resumed.resume(folder / "set.h5"); }, "set.h5");
  expect_error<IoError>([&] { load_vqvae(folder / "none.h5"); }, "none.h5");
  options.batch = 41;
  expect_error<ConfigError>([&] { VqvaeTrainer(*holder, data, nullptr, options); }, "more than the 40 images");
  std::unique_ptr<Vqvae> large;
  expect_error<ConfigError>(
      [&] { VqvaeTrainer(*fresh(large, vqvae_preset32()), data, nullptr, quick()); },
      "set.h5: images of 8x8; the tokenizer is for 32x32 (the last of patch_nums times 4); for 8x8 "
      "give patch_nums that end with 2, or ch_mult of 1 level");
}

TEST(Tokens, CacheIsReadWhereItFitsAndMadeWhereNot) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder;
  Vqvae& model = *fresh(holder);
  int64_t encoded = 0, begun = 0;
  const EncodeProgress count = [&](int64_t done, int64_t) { ++(done == 0 ? begun : encoded); };
  const TokenSet made = cached_tokens(folder / "tokens.h5", model, data, 0, count);
  EXPECT_EQ(encoded, 1);
  EXPECT_EQ(begun, 1) << "it is said before the first image is encoded";
  EXPECT_EQ(made.indices.shape(), (Shape{40, 21}));
  const TokenSet read = cached_tokens(folder / "tokens.h5", model, data, 0, count);
  EXPECT_EQ(encoded, 1);
  EXPECT_EQ(begun, 1);
  EXPECT_SAME(read.indices, made.indices);
  EXPECT_SAME(read.labels, data.labels());
  EXPECT_EQ(read.class_names, data.class_names());
  EXPECT_EQ(read.patch_nums, tiny().patch_nums);
  EXPECT_SAME(model.images_to_indices(images_to_float(data.images(0, 3))), made.indices.slice(0, 0, 3).contiguous());
  const TokenSet part = encode_dataset(model, data, 7, 3);
  const std::vector<int64_t> rows = part_of(40, 7);
  for (int64_t i = 0; i < 7; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    EXPECT_SAME(part.indices.select(0, i).contiguous(), made.indices.select(0, row).contiguous());
    EXPECT_EQ(part.labels.data<int64_t>()[i], row % 2);
  }
  model.quantizer().codebook().value().fill_(0.5);
  cached_tokens(folder / "tokens.h5", model, data, 0, count);
  EXPECT_EQ(encoded, 2);
  expect_error<IoError>([&] { read_tokens(folder / "set.h5"); }, "set.h5");
}

}  // namespace
}  // namespace terrace
