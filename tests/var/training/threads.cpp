// The number of threads changes no bit of what is trained: programs may change it while they run.
#include <algorithm>

#include "data/datasets/procedural.h"
#include "tensor/device/device.h"
#include "tests/support.h"
#include "tests/var/small_models.h"
#include "var/presets.h"
#include "var/training/var_trainer.h"
#include "var/training/vqvae_trainer.h"

namespace terrace {
namespace {

constexpr int kThreads[] = {1, 2, 3};

/// The state that `train` leaves with each number of threads must be the same.
template <class Train>
void expect_same_with_any_number_of_threads(const Train& train) {
  const int before = threads();
  State first;
  for (const int count : kThreads) {
    SCOPED_TRACE(cat(count, " threads"));
    set_threads(count);
    const State state = train();
    ASSERT_EQ(threads(), count);
    if (first.empty()) { first = state; }
    for (const auto& [name, value] : state) {
      SCOPED_TRACE(name);
      EXPECT_SAME(value, first.at(name));
    }
  }
  set_threads(before);
}

TEST(Threads, TrainTheSameTokenizer) {
  const TemporaryFolder folder;
  create_procedural(folder / "p.h5", {.train = 32, .test = 16}, [](int64_t, int64_t) {});
  const ImageDataset data = ImageDataset::open(folder / "p.h5", "train");
  expect_same_with_any_number_of_threads([&] {
    Generator g(1);
    Vqvae model(vqvae_preset("vqvae-32px"), g);
    VqvaeTrainOptions options;
    options.steps = 3;
    options.batch = 8;
    options.init_iterations = 2;
    options.evaluate_images = 0;
    VqvaeTrainer(model, data, &data, options).run();
    return model.state();
  });
}

/// The small preset: 155 tokens of 128 channels, wide enough that every op is divided.
TEST(Threads, TrainTheSameTransformer) {
  VarConfig config;
  config.depth = 2;
  config.embed_dim = 128;
  config.num_heads = 4;
  config.vocab_size = 256;
  config.Cvae = 16;
  config.num_classes = 16;
  const Quantizer quantizer = quantizer_for(config, 3);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(static_cast<int>(dtype));
    expect_same_with_any_number_of_threads([&] {
      Generator g(5);
      VarTrainingData data;
      const Pyramid pyramid(config.patch_nums);
      data.indices = randint(config.vocab_size, {12, pyramid.length()}, g);
      data.labels = randint(16, {12}, g);
      data.held_out_indices = data.indices;
      data.held_out_labels = data.labels;
      data.tokenizer_hash = "0123";
      data.quantizer = &quantizer;
      for (int i = 0; i < 16; ++i) { data.class_names.push_back(std::to_string(i)); }
      VarTransformer model(config, g);
      VarTrainOptions options;
      options.steps = 2;
      options.batch = 8;
      options.dtype = dtype;
      options.evaluate_images = 2;
      VarTrainer(model, data, options).run();
      return model.state();
    });
  }
}

}  // namespace
}  // namespace terrace
