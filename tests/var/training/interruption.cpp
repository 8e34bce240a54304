// A user ends a training in the middle of a step: the step before is what is kept, to the last bit.
#include "tensor/device/interruption.h"

#include <filesystem>

#include "tests/support.h"
#include "tests/var/training/small_tokenizer.h"
#include "tests/var/training/toy_training.h"
#include "tests/var/transformer/one_thread.h"

namespace terrace {
namespace {

thread_local int64_t points_left = 0;

void interrupt_when_none_is_left() {
  if (--points_left < 0) { throw Interrupted("interrupted"); }
}

/// Ends after so many interruption points of this thread.
class EndAfter {
 public:
  explicit EndAfter(int64_t points) {
    points_left = points;
    set_interruption_check(&interrupt_when_none_is_left);
  }
  ~EndAfter() { set_interruption_check(nullptr); }
};

template <class F>
int64_t points_of(const F& f) {
  constexpr int64_t kMany = int64_t{1} << 40;
  const EndAfter end(kMany);
  f();
  return kMany - points_left;
}

TEST(Interruption, EveryOpAndEveryNodeOfTheBackwardPassIsAPoint) {
  const int64_t points = points_of([] {
    Generator g(5);
    VarTransformer model(toy_config(), g);
    VarTrainer(model, toy_data(11), toy_options(1)).step();
  });
  EXPECT_GT(points, 50);
}

TEST(Interruption, ATransformerKeepsTheStepBefore) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  VarTrainOptions options = toy_options(12);
  options.evaluate_every = 0;
  train_to(folder / "whole.h5", options);
  const int64_t all = points_of([&] { train_to(folder / "counted.h5", options); });
  for (const double share : {0.02, 0.3, 0.55, 0.85}) {
    const std::string path = folder / "stopped.h5";
    std::filesystem::remove(path);
    bool ended = false;
    {
      const EndAfter end(static_cast<int64_t>(share * static_cast<double>(all)));
      try {
        train_to(path, options);
      } catch (const Interrupted&) { ended = true; }
    }
    EXPECT_TRUE(ended) << share;
    if (!std::filesystem::exists(path)) { continue; }  // in the first step
    train_to(path, options, path);
    EXPECT_EQ(bytes_of(path), bytes_of(folder / "whole.h5")) << share;
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "stopped.h5"));
}

TEST(Interruption, ATokenizerKeepsTheStepBefore) {
  const OneThread one_thread;
  const TemporaryFolder folder;
  const ImageDataset set = small_set(folder / "set.h5");
  const auto train = [&](const std::string& path, bool resume) {
    std::unique_ptr<Vqvae> model;
    VqvaeTrainOptions options = quick();
    options.checkpoint_path = path;
    VqvaeTrainer trainer(*fresh(model), set, nullptr, options);
    if (resume) { trainer.resume(path); }
    trainer.run();
  };
  train(folder / "whole.h5", false);
  const int64_t all = points_of([&] { train(folder / "counted.h5", false); });
  for (const double share : {0.02, 0.4, 0.63, 0.9}) {
    const std::string path = folder / "stopped.h5";
    std::filesystem::remove(path);
    {
      const EndAfter end(static_cast<int64_t>(share * static_cast<double>(all)));
      EXPECT_THROW(train(path, false), Interrupted) << share;
    }
    if (!std::filesystem::exists(path)) { continue; }
    train(path, true);
    EXPECT_EQ(bytes_of(path), bytes_of(folder / "whole.h5")) << share;
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "stopped.h5"));
}

TEST(Interruption, AScopeWithoutPoints) {
  const EndAfter end(0);
  {
    const UninterruptedScope whole;
    interruption_point();
  }
  EXPECT_THROW(interruption_point(), Interrupted);
}

}  // namespace
}  // namespace terrace
