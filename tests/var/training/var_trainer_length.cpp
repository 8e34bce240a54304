// How long VarTrainer trains: runs that are extended, planned, cut or interrupted.
#include <array>
#include <vector>

#include "tests/support.h"
#include "tests/var/training/toy_training.h"
#include "tests/var/transformer/one_thread.h"
#include "var/training/step_log.h"
#include "var/training/stored_position.h"

namespace terrace {
namespace {

/// What a finished run goes on with is the schedule of the new length, from its own step on.
TEST(VarTrainer, AFinishedRunCanBeExtended) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "short.h5", toy_options(6));
  train_to(folder / "long.h5", toy_options(9), folder / "short.h5");
  const Hdf5File file = Hdf5File::open(folder / "long.h5");
  EXPECT_EQ(file.read_attr_int("/", "step"), 9);
  const std::vector<VarStepRecord> log = read_var_log(file);
  EXPECT_EQ(log[log.size() - 2].step, 6);
  EXPECT_EQ(log[log.size() - 2].lr, learning_rate(toy_options(6), 5));
  EXPECT_EQ(log.back().step, 9);
  EXPECT_EQ(log.back().lr, learning_rate(toy_options(9), 8));
  EXPECT_EQ(stored_position(folder / "long.h5")->steps, 9);
  // A run that was stopped may also become shorter.
  struct Stop {};
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainOptions options = toy_options(20);
  options.checkpoint_path = folder / "part.h5";
  VarTrainer trainer(model, toy_data(11), options, {.progress = [](int64_t done, int64_t, double) {
                       if (done == 4) { throw Stop(); }
                     }});
  EXPECT_THROW(trainer.run(), Stop);
  EXPECT_EQ(stored_position(folder / "part.h5")->step, 4);
  EXPECT_EQ(stored_position(folder / "part.h5")->steps, 20);
  train_to(folder / "shorter.h5", toy_options(7), folder / "part.h5");
  EXPECT_EQ(stored_position(folder / "shorter.h5")->step, 7);
}

TEST(VarTrainer, AResumedRunMayBeEvaluatedMoreOrLessOften) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  train_to(folder / "short.h5", toy_options(6));
  VarTrainOptions options = toy_options(9);
  options.evaluate_every = 2;
  train_to(folder / "long.h5", options, folder / "short.h5");
  std::vector<int64_t> evaluated;
  for (const VarStepRecord& record : read_var_log(Hdf5File::open(folder / "long.h5"))) {
    if (record.has_held_out()) { evaluated.push_back(record.step); }
  }
  EXPECT_EQ(evaluated, (std::vector<int64_t>{5, 6, 8, 9}));
}

TEST(VarTrainer, APlanMovesTheEndOrStopsBeforeIt) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const auto run_with = [&](const TrainPlan& plan) {
    Generator g(5);
    VarTransformer model(toy_config(), g);
    VarTrainOptions options = toy_options(6);
    options.planned = true;
    options.checkpoint_path = folder / "a.h5";
    VarTrainer trainer(model, toy_data(11), options, {.plan = plan});
    trainer.run();
    return trainer.log();
  };
  const std::vector<VarStepRecord> longer = run_with([](int64_t done) { return done < 3 ? 6 : 8; });
  EXPECT_EQ(longer.back().step, 8);
  EXPECT_EQ(longer.back().lr, learning_rate(toy_options(8), 7));
  EXPECT_EQ(longer.back().held_out_images, 7) << "the last step is known as such";
  run_with([](int64_t done) { return done < 4 ? 6 : done; });
  EXPECT_EQ(stored_position(folder / "a.h5")->step, 4);
  EXPECT_EQ(stored_position(folder / "a.h5")->steps, 6);
  train_to(folder / "b.h5", toy_options(6), folder / "a.h5");
  train_to(folder / "whole.h5", toy_options(6));
  EXPECT_TRUE(bytes_of(folder / "b.h5") == bytes_of(folder / "whole.h5")) << "a cut run goes on as an interrupted one";
}

/// A run of `steps` that goes on from part.h5 ends as one that was never stopped.
void expect_resumed_as_whole(const TemporaryFolder& folder, int64_t steps) {
  train_to(folder / "resumed.h5", toy_options(steps), folder / "part.h5");
  train_to(folder / "whole.h5", toy_options(steps));
  EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "resumed.h5"));
}

TEST(VarTrainer, AnEvaluationThatThrowsLosesNoStep) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  struct Stop {};
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainOptions options = toy_options(11);
  options.checkpoint_path = folder / "part.h5";
  VarTrainer trainer(model, toy_data(11), options, {.evaluate = [](VarStepRecord&, VarTransformer&) { throw Stop(); }});
  EXPECT_THROW(trainer.run(), Stop);
  EXPECT_EQ(stored_position(folder / "part.h5")->step, 5);
  expect_resumed_as_whole(folder, 11);
}

TEST(VarTrainer, AHeldOutLossCanBeInterruptedBetweenItsBatches) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  struct Stop {};
  Generator g(5);
  VarTransformer model(toy_config(), g);
  VarTrainOptions options = toy_options(11);
  options.checkpoint_path = folder / "part.h5";
  std::vector<std::array<int64_t, 3>> calls;
  VarTrainer trainer(model, toy_data(11), options, {.held_out_progress = [&](int64_t step, int64_t done, int64_t of) {
                       calls.push_back({step, done, of});
                       if (step == 10) { throw Stop(); }
                     }});
  EXPECT_THROW(trainer.run(), Stop);
  const std::vector<std::array<int64_t, 3>> expected = {{5, 4, 7}, {5, 7, 7}, {10, 4, 7}};
  EXPECT_EQ(calls, expected);
  EXPECT_EQ(stored_position(folder / "part.h5")->step, 10);
  expect_resumed_as_whole(folder, 11);
}

/// At any step, the last included, and where the model was never evaluated on tokens.
TEST(VarTrainer, AnEvaluationThatThrowsIsMadeUp) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  struct Stop {};
  using Steps = std::vector<int64_t>;
  for (const bool held_out : {true, false}) {
    VarTrainingData data = toy_data(11);
    if (!held_out) { data.held_out_indices = data.held_out_labels = Tensor(); }
    VarTrainOptions options = toy_options(7);
    options.checkpoint_path = folder / "part.h5";
    for (const int64_t at : {5, 7}) {
      const std::string where = cat("held out ", held_out, ", step ", at);
      Steps evaluated, recorded;
      std::vector<VarStepRecord> records;
      const auto trainer_of = [&](VarTransformer& model, int64_t stop_at) {
        return VarTrainer(model, data, options,
                          {.record = [&](const VarStepRecord& r) { records.push_back(r); },
                           .evaluate =
                               [&evaluated, stop_at](VarStepRecord& r, VarTransformer&) {
                                 if (r.step == stop_at) { throw Stop(); }
                                 evaluated.push_back(r.step);
                                 r.frechet_distance = static_cast<double>(r.step);
                               }});
      };
      Generator g(5), again(5);
      VarTransformer first(toy_config(), g), second(toy_config(), again);
      VarTrainer interrupted = trainer_of(first, at);
      EXPECT_THROW(interrupted.run(), Stop) << where;
      EXPECT_EQ(records.back().step, at) << where;
      EXPECT_FALSE(records.back().has_held_out()) << where;
      const size_t before = records.size();
      VarTrainer resumed = trainer_of(second, -1);
      resumed.resume(options.checkpoint_path);
      EXPECT_EQ(resumed.log().back().step, at) << where;
      resumed.run();
      EXPECT_EQ(evaluated, (Steps{5, 7})) << where;
      ASSERT_GT(records.size(), before) << where;
      EXPECT_EQ(records[before].step, at) << where << ": its record comes again";
      EXPECT_EQ(records[before].has_held_out(), held_out) << where;
      EXPECT_EQ(records[before].frechet_distance, static_cast<double>(at)) << where;
      EXPECT_EQ(records[before].loss, records[before - 1].loss) << where;
      Generator whole(5);
      VarTransformer third(toy_config(), whole);
      options.checkpoint_path = folder / "whole.h5";
      trainer_of(third, -1).run();
      options.checkpoint_path = folder / "part.h5";
      EXPECT_TRUE(bytes_of(folder / "whole.h5") == bytes_of(folder / "part.h5")) << where;
    }
  }
}

}  // namespace
}  // namespace terrace
