// How long VqvaeTrainer trains, and what its evaluations leave: runs that are extended, planned, cut or interrupted.
#include "data/files/atomic_file.h"
#include "tests/support.h"
#include "tests/var/training/small_tokenizer.h"
#include "tests/var/transformer/one_thread.h"
#include "var/training/stored_position.h"

namespace terrace {
namespace {

TEST(VqvaeTrainer, AnEvaluationThatThrowsLosesNoStep) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> whole, first, second;
  VqvaeTrainOptions options = quick();
  options.evaluate_every = 5;
  options.checkpoint_path = folder / "whole.h5";
  VqvaeTrainer(*fresh(whole), data, &data, options).run();
  options.checkpoint_path = folder / "part.h5";
  VqvaeTrainCallbacks callbacks;
  callbacks.evaluate = [](VqvaeEvaluation&, Vqvae&) { throw Interrupted("stop here"); };
  EXPECT_THROW(VqvaeTrainer(*fresh(first), data, &data, options, callbacks).run(), Interrupted);
  EXPECT_EQ(stored_position(folder / "part.h5")->step, 5);
  VqvaeTrainer resumed(*fresh(second), data, &data, options);
  resumed.resume(folder / "part.h5");
  resumed.run();
  EXPECT_EQ(read_file(folder / "part.h5"), read_file(folder / "whole.h5"));
}

/// At any step, the last included.
TEST(VqvaeTrainer, AnEvaluationThatThrowsIsMadeUp) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  VqvaeTrainOptions options = quick();
  options.evaluate_every = 5;
  options.checkpoint_path = folder / "whole.h5";
  std::unique_ptr<Vqvae> holder;
  VqvaeTrainer(*fresh(holder), data, &data, options).run();
  options.checkpoint_path = folder / "part.h5";
  for (const int64_t at : {10, 12}) {
    std::vector<int64_t> evaluated;
    std::vector<VqvaeStepRecord> records;
    int64_t stop_at = at;
    VqvaeTrainCallbacks callbacks;
    callbacks.record = [&](const VqvaeStepRecord& r) { records.push_back(r); };
    callbacks.evaluate = [&](VqvaeEvaluation& e, Vqvae&) {
      if (e.step == stop_at) { throw Interrupted("stop here"); }
      evaluated.push_back(e.step);
      e.frechet_distance = static_cast<double>(e.step);
    };
    EXPECT_THROW(VqvaeTrainer(*fresh(holder), data, &data, options, callbacks).run(), Interrupted);
    EXPECT_EQ(records.back().step, at);
    EXPECT_FALSE(records.back().has_held_out()) << at;
    const size_t before = records.size();
    stop_at = -1;
    VqvaeTrainer resumed(*fresh(holder), data, &data, options, callbacks);
    resumed.resume(options.checkpoint_path);
    EXPECT_EQ(resumed.steps_done(), at);
    resumed.run();
    EXPECT_EQ(evaluated, (std::vector<int64_t>{5, 10, 12}));
    EXPECT_EQ(resumed.evaluations().size(), 3u);
    ASSERT_GT(records.size(), before);
    EXPECT_EQ(records[before].step, at) << "its record comes again";
    EXPECT_TRUE(records[before].has_held_out()) << at;
    EXPECT_EQ(records[before].frechet_distance, static_cast<double>(at));
    EXPECT_EQ(records[before].loss, records[before - 1].loss);
    EXPECT_EQ(read_file(folder / "part.h5"), read_file(folder / "whole.h5")) << at;
  }
}

TEST(VqvaeTrainer, AnEvaluationHasARecordThatHoldsIt) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  std::unique_ptr<Vqvae> holder, second;
  VqvaeTrainOptions options = quick();  // a record every 4 steps
  options.evaluate_every = 5;
  options.checkpoint_path = folder / "a.h5";
  VqvaeTrainCallbacks callbacks;
  std::vector<VqvaeStepRecord> records;
  callbacks.evaluate = [](VqvaeEvaluation& e, Vqvae&) { e.frechet_distance = static_cast<double>(e.step); };
  callbacks.record = [&](const VqvaeStepRecord& r) { records.push_back(r); };
  VqvaeTrainer trainer(*fresh(holder), data, &data, options, callbacks);
  trainer.run();
  std::vector<int64_t> steps, evaluated;
  for (const VqvaeStepRecord& r : records) {
    steps.push_back(r.step);
    if (!r.has_held_out()) { continue; }
    evaluated.push_back(r.step);
    EXPECT_EQ(r.frechet_distance, static_cast<double>(r.step));
    EXPECT_EQ(r.held_out_images, 16);
    EXPECT_EQ(r.held_out_usage.size(), 3u);
  }
  EXPECT_EQ(steps, (std::vector<int64_t>{4, 5, 8, 10, 12}));
  EXPECT_EQ(evaluated, (std::vector<int64_t>{5, 10, 12}));
  EXPECT_EQ(records[1].held_out_psnr, trainer.evaluations()[0].psnr);
  EXPECT_DOUBLE_EQ(records[1].epoch, 1);
  EXPECT_GT(records[1].peak_bytes, 0);
  // A resumed run has the same rows, but for what checkpoints do not keep.
  VqvaeTrainer resumed(*fresh(second), data, &data, options);
  resumed.resume(folder / "a.h5");
  ASSERT_EQ(resumed.log().size(), records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(resumed.log()[i].held_out_psnr, records[i].held_out_psnr);
    EXPECT_EQ(resumed.log()[i].held_out_perplexity, records[i].held_out_perplexity);
    EXPECT_EQ(resumed.log()[i].epoch, records[i].epoch);
    EXPECT_EQ(resumed.log()[i].frechet_distance, -1);
  }
}

TEST(VqvaeTrainer, ARunCanBeExtendedPlannedAndCut) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  VqvaeTrainOptions options = quick();
  options.checkpoint_path = folder / "a.h5";
  std::unique_ptr<Vqvae> holder;
  VqvaeTrainer(*fresh(holder), data, &data, options).run();
  VqvaeTrainOptions longer = options;
  longer.steps = 15;
  VqvaeTrainer extended(*fresh(holder), data, &data, longer);
  extended.resume(folder / "a.h5");
  EXPECT_EQ(extended.steps_done(), 12);
  extended.run();
  EXPECT_EQ(extended.log()[2].lr, learning_rate(options, 11));
  EXPECT_EQ(extended.log().back().lr, learning_rate(longer, 14));
  EXPECT_EQ(extended.evaluations().size(), 2u);
  EXPECT_EQ(stored_position(folder / "a.h5")->steps, 15);
  VqvaeTrainer shorter(*fresh(holder), data, &data, options);
  expect_error<ConfigError>([&] { shorter.resume(folder / "a.h5"); },
                            "a.h5: has 15 steps already, more than steps = 12");

  VqvaeTrainCallbacks planned;
  planned.plan = [](int64_t done) { return done < 3 ? 12 : 9; };
  VqvaeTrainer by_plan(*fresh(holder), data, &data, options, planned);
  by_plan.run();
  EXPECT_EQ(by_plan.steps_done(), 9);
  EXPECT_EQ(by_plan.log().back().step, 9);
  VqvaeTrainOptions of_nine = options;
  of_nine.steps = 9;
  EXPECT_EQ(by_plan.log().back().lr, learning_rate(of_nine, 8));

  VqvaeTrainCallbacks cut;
  cut.plan = [](int64_t done) { return done < 7 ? 12 : done; };
  VqvaeTrainer stopped(*fresh(holder), data, &data, options, cut);
  stopped.run();
  EXPECT_EQ(stored_position(folder / "a.h5")->step, 7);
  EXPECT_EQ(stored_position(folder / "a.h5")->steps, 12);
}

TEST(VqvaeTrainer, CodesThatAreGivenKeepTheirStart) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset data = small_set(folder / "set.h5");
  const auto moved_by = [&](bool keep) {
    std::unique_ptr<Vqvae> holder;
    Vqvae& model = *fresh(holder);
    const Tensor before = model.quantizer().codebook().value().clone();
    VqvaeTrainOptions options = quick();
    options.keep_codes = keep;
    options.lr = 1e-6;
    VqvaeTrainer(model, data, nullptr, options).step();
    return absolute_error(model.quantizer().codebook().value(), before);
  };
  EXPECT_LT(moved_by(true), 1e-5);
  EXPECT_GT(moved_by(false), 1e-2);
}

}  // namespace
}  // namespace terrace
