// Work that is recorded once and replayed, on every device of CUDA's kernels.
#include "tensor/device/device_graph.h"

#include "nn/optim.h"
#include "tensor/pointwise.h"
#include "tensor/random.h"
#include "tests/cuda/parity.h"
#include "tests/var/small_models.h"
#include "var/training/var_trainer.h"
#include "var/transformer/sampler.h"

namespace terrace {
namespace {

TEST(DeviceGraph, ReplaysWithWhatItsMemoryHoldsThen) {
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    MemoryArena arena(device);
    Tensor x = Tensor::full({5, 33}, 1, DType::kF32, device);
    const Tensor w = random_tensor({7, 33}, 1).to(device);
    const auto work = [&] { return softmax(linear(Variable(x), Variable(w)), -1).value(); };
    const Tensor first = work().to(kCpu);
    DeviceGraph graph(arena);
    Tensor y;
    ASSERT_TRUE(graph.record([&] { y = work(); })) << graph.reason();
    for (const uint64_t seed : {2, 3}) {
      x.copy_(random_tensor({5, 33}, seed));
      graph.replay();
      EXPECT_SAME(y.to(kCpu), work().to(kCpu));
    }
    EXPECT_GT(absolute_error(y.to(kCpu), first), 0);
  }
}

TEST(DeviceGraph, NothingRunsWhileItIsRecorded) {
  for (const Device device : cuda_devices()) {
    MemoryArena arena(device);
    Tensor x = Tensor::full({100}, 1, DType::kF32, device);
    DeviceGraph graph(arena);
    ASSERT_TRUE(graph.record([&] { scale_(x, 2); }));
    EXPECT_SAME(x.to(kCpu), Tensor::full({100}, 1)) << device;
    graph.replay();
    graph.replay();
    EXPECT_SAME(x.to(kCpu), Tensor::full({100}, 4)) << device;
  }
}

TEST(DeviceGraph, WhatMovesMemoryOrWaitsIsRefused) {
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    MemoryArena arena(device);
    Tensor x = Tensor::full({3}, 1, DType::kF32, device);
    DeviceGraph graph(arena);
    EXPECT_FALSE(graph.record([&] {
      scale_(x, 2);
      x.to(kCpu);
    }));
    EXPECT_EQ(graph.reason(), "copying to the host cannot be recorded");
    EXPECT_FALSE(graph.record([&] { Tensor::zeros({3}).to(device); }));
    EXPECT_EQ(graph.reason(), "copying from the host cannot be recorded");
    expect_error<DeviceError>([&] { graph.replay(); }, "DeviceGraph: nothing is recorded to be replayed on");
    EXPECT_SAME(x.to(kCpu), Tensor::full({3}, 1)) << "what was recorded before the refusal has not run";
    scale_(x, 3);
    EXPECT_SAME(x.to(kCpu), Tensor::full({3}, 3)) << "launches run again";
    EXPECT_TRUE(graph.record([&] { scale_(x, 2); })) << "and can be recorded again";
  }
}

TEST(DeviceGraph, OtherErrorsPassAndEndTheRecording) {
  for (const Device device : cuda_devices()) {
    MemoryArena arena(device);
    DeviceGraph graph(arena);
    Tensor x = Tensor::full({3}, 1, DType::kF32, device);
    expect_error<ShapeError>([&] { graph.record([&] { x.view({2, 2}); }); }, "view");
    EXPECT_FALSE(graph.recorded());
    scale_(x, 2);
    EXPECT_SAME(x.to(kCpu), Tensor::full({3}, 2));
  }
}

TEST(DeviceGraph, TheCpuRecordsNothing) {
  MemoryArena arena(kCpu);
  DeviceGraph graph(arena);
  EXPECT_FALSE(graph.record([] { FAIL() << "is not called"; }));
  EXPECT_EQ(graph.reason(), "work of cpu cannot be recorded");
}

TEST(MemoryArena, OthersGetNoneOfItsBlocks) {
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    const auto address = [&] { return Tensor::empty({12345}, DType::kF32, device).raw_data(); };
    const int64_t reserved = memory_stats(device).reserved;
    void* inside = nullptr;
    {
      MemoryArena arena(device);
      {
        const MemoryArena::Scope scope(arena);
        inside = address();
        EXPECT_EQ(address(), inside) << "given back, it is the arena's next block";
      }
      const Tensor held = Tensor::empty({12345}, DType::kF32, device);
      EXPECT_NE(held.raw_data(), inside);
      EXPECT_NE(address(), inside);
      EXPECT_GE(memory_stats(device).reserved, memory_stats(device).live + 12345 * 4);
      const MemoryArena::Scope scope(arena);
      EXPECT_EQ(address(), inside);
    }
    const Tensor a = Tensor::empty({12345}, DType::kF32, device), b = Tensor::empty({12345}, DType::kF32, device);
    EXPECT_TRUE(a.raw_data() == inside || b.raw_data() == inside) << "its blocks are the device's again";
    EXPECT_GE(memory_stats(device).reserved, reserved);
  }
}

TEST(MemoryArena, ATensorMayOutliveIt) {
  const Device device = executor_device();
  Tensor x;
  {
    MemoryArena arena(device);
    const MemoryArena::Scope scope(arena);
    x = Tensor::full({777}, 3, DType::kF32, device);
  }
  EXPECT_SAME(x.to(kCpu), Tensor::full({777}, 3));
  x = Tensor();
  EXPECT_GE(memory_stats(device).reserved, memory_stats(device).live);
}

TEST(DrawKey, DrawsAreThoseOfTheSeedAndStreamThatItHolds) {
  const auto work = [](const Tensor& x, const Tensor& labels) {
    default_generator().offset = 5;
    const Tensor dropped = dropout(Variable(x), 0.4, true).value(), path = drop_path(Variable(x), 0.5, true).value();
    return std::vector<Tensor>{dropped, path, drop_indices(labels, 0.5, -7)};
  };
  const Tensor x = Tensor::full({9, 7}, 1), labels = Tensor::arange(40);
  const auto expected = [&](uint64_t seed, uint64_t stream) {
    default_generator() = Generator(seed, stream);
    return work(x, labels);
  };
  for (const Device device : cuda_devices()) {
    MemoryArena arena(device);
    Tensor key = Tensor::zeros({2}, DType::kI64, device);
    const Tensor there = x.to(device), labels_there = labels.to(device);
    std::vector<Tensor> drawn;
    DeviceGraph graph(arena);
    {
      const DrawKey scope(key);
      ASSERT_TRUE(graph.record([&] { drawn = work(there, labels_there); })) << graph.reason();
    }
    for (const int64_t seed : {3, -4}) {
      key.copy_(Tensor::from(std::vector<int64_t>{seed, 11}, {2}));
      graph.replay();
      const std::vector<Tensor> wanted = expected(static_cast<uint64_t>(seed), 11);
      for (size_t i = 0; i < wanted.size(); ++i) { EXPECT_SAME(drawn[i].to(kCpu), wanted[i]) << device << " " << i; }
    }
  }
  default_generator() = Generator(0);
}

// --- The training step -----------------------------------------------------------------------------------------------

struct TrainingRun {
  std::vector<double> losses, norms;
  State parameters;
  std::string not_recorded;
};

VarTrainingData tokens_for(const VarConfig& c, const Quantizer& quantizer) {
  Generator g(3);
  VarTrainingData data;
  data.indices = randint(c.vocab_size, {8, c.length()}, g);
  data.labels = randint(c.num_classes, {8}, g);
  data.quantizer = &quantizer;
  return data;
}

/// Six steps, one of them with every detail of the record, which is not replayed; the others are where options.graphs
/// is set.
TrainingRun train(Device device, const VarConfig& config, VarTrainOptions options) {
  Generator g(1);
  VarTransformer model(config, g);
  model.to(device);
  options.steps = 6;
  options.lr = 3e-3;
  options.warmup_share = 0.5;
  options.clip = 0.7;
  const Quantizer quantizer = quantizer_for(config, 4);
  VarTrainer trainer(model, tokens_for(config, quantizer), options);
  TrainingRun run;
  for (int64_t step = 0; step < options.steps; ++step) {
    const VarStepRecord record = trainer.step(step == 4 ? VarTrainer::Detail::kAll : VarTrainer::Detail::kLoss);
    run.losses.push_back(record.loss);
    run.norms.push_back(record.gradient_norm);
  }
  for (const auto& [name, value] : model.state()) { run.parameters[name] = value.to(kCpu).clone(); }
  run.not_recorded = trainer.not_recorded();
  return run;
}

void expect_same_run(const TrainingRun& actual, const TrainingRun& expected) {
  EXPECT_EQ(actual.losses, expected.losses);
  EXPECT_EQ(actual.norms, expected.norms);
  for (const auto& [name, value] : expected.parameters) { EXPECT_SAME(actual.parameters.at(name), value) << name; }
}

TEST(DeviceGraph, TrainingReplaysToTheSameBits) {
  VarConfig config = toy_config();
  config.drop_rate = 0.1;
  config.cond_drop_rate = 0.3;
  config.shared_aln = true;
  for (const Device device : cuda_devices()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(cat(device, " ", dtype));
      VarTrainOptions options;
      options.batch = 5;
      options.accumulate = 2;
      options.dtype = dtype;
      if (dtype == DType::kBF16) { options.recompute = Recompute::kBlocks; }
      options.graphs = false;
      const TrainingRun launched = train(device, config, options);
      options.graphs = true;
      const TrainingRun replayed = train(device, config, options);
      EXPECT_EQ(replayed.not_recorded, "");
      expect_same_run(replayed, launched);
    }
  }
}

/// Here a hook that copies a gradient to the host keeps a step from being recorded.
TEST(DeviceGraph, TrainingGoesOnWhereAStepCannotBeRecorded) {
  const VarConfig config = toy_config();
  for (const Device device : cuda_devices()) {
    VarTrainOptions options;
    options.batch = 4;
    const auto watched = [&](bool graphs) {
      Generator g(1);
      VarTransformer model(config, g);
      model.to(device);
      model.head.weight.register_hook([](const Tensor& gradient) {
        gradient.to(kCpu);
        return gradient;
      });
      options.graphs = graphs;
      options.steps = 4;
      const Quantizer quantizer = quantizer_for(config, 4);
      VarTrainer trainer(model, tokens_for(config, quantizer), options);
      TrainingRun result;
      for (int i = 0; i < 4; ++i) {
        const VarStepRecord record = trainer.step(VarTrainer::Detail::kLoss);
        result.losses.push_back(record.loss);
        result.norms.push_back(record.gradient_norm);
      }
      for (const auto& [name, value] : model.state()) { result.parameters[name] = value.to(kCpu).clone(); }
      result.not_recorded = trainer.not_recorded();
      return result;
    };
    const TrainingRun launched = watched(false), tried = watched(true);
    EXPECT_EQ(launched.not_recorded, "");
    EXPECT_EQ(tried.not_recorded, "copying to the host cannot be recorded");
    expect_same_run(tried, launched);
  }
}

// --- Sampling --------------------------------------------------------------------------------------------------------

/// Every option of sampling: guidance, filters, the smooth mix, given tokens.
TEST(DeviceGraph, SamplingReplaysToTheSameTokens) {
  for (const Device device : cuda_devices()) {
    SmallModels m;
    m.model->to(device);
    m.quantizer->to(device);
    const int64_t L = m.config.length();
    const Tensor given_indices = Tensor::full({2, L}, 9, DType::kI64);
    Tensor keep = Tensor::zeros({2, L}, DType::kBool);
    for (int64_t i = 0; i < keep.numel(); i += 3) { keep.data<bool>()[i] = true; }
    const GivenTokens given{given_indices, keep};
    const SampleOptions plain{.cfg = 1.5, .top_k = 20, .top_p = 0.95}, unguided{.cfg = 0, .top_p = 0.9};
    SampleOptions smooth = plain;
    smooth.smoothing = Smoothing::kOn;
    for (const SampleOptions& options : {plain, unguided, smooth}) {
      const GivenTokens* some = options == plain ? nullptr : &given;
      SCOPED_TRACE(cat(device, " cfg ", options.cfg, some == nullptr ? "" : ", given"));
      Sampler sampler(*m.model, *m.quantizer, options);
      const SampleExtras extras{.given = some, .f_hats = FHats::kEveryScale};
      for (const int64_t first : {0, 1, 2}) {
        const Tensor labels = Tensor::from(std::vector<int64_t>{first, 3}, {2});
        const auto seed = static_cast<uint64_t>(first);
        const Sampled expected = sample(*m.model, *m.quantizer, labels, {seed, 7}, options, extras);
        const Sampled actual = sampler(labels, {seed, 7}, extras);
        EXPECT_SAME(join_scales(actual.indices), join_scales(expected.indices));
        EXPECT_SAME(actual.f_hat, expected.f_hat);
        for (size_t s = 0; s < expected.f_hats.size(); ++s) { EXPECT_SAME(actual.f_hats[s], expected.f_hats[s]); }
        for (int64_t i = 0; some != nullptr && i < keep.numel(); i += 3) {
          EXPECT_EQ(join_scales(actual.indices).data<int64_t>()[i], 9);
        }
      }
      EXPECT_EQ(sampler.not_recorded(), "");
      EXPECT_EQ(sampler.recorded_scales(), 3);
    }
  }
}

TEST(DeviceGraph, SamplingTakesOtherBatchesObserversAndInterruptionsBetweenReplays) {
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    SmallModels m;
    m.model->to(device);
    m.quantizer->to(device);
    const SampleOptions options{.cfg = 1.5, .top_k = 20};
    Sampler sampler(*m.model, *m.quantizer, options);
    const auto labels_of = [](int64_t count) { return Tensor::full({count}, 1, DType::kI64); };
    const auto expect_right = [&](uint64_t seed, const SampleExtras& extras = {}) {
      const Sampled expected = sample(*m.model, *m.quantizer, labels_of(2), {seed, 5}, options);
      EXPECT_SAME(join_scales(sampler(labels_of(2), {seed, 5}, extras).indices), join_scales(expected.indices)) << seed;
    };
    expect_right(1);
    int polls = 0;
    const SampleExtras stop{.poll = [&](int64_t) {
      if (++polls == 2) { throw Interrupted("enough"); }
    }};
    EXPECT_THROW(sampler(labels_of(2), {2, 5}, stop), Interrupted);  // one scale is recorded
    EXPECT_EQ(sampler.recorded_scales(), 1);
    expect_right(3);
    EXPECT_EQ(sampler.recorded_scales(), 3);
    int seen = 0;
    expect_right(4, {.observe = [&](const ScaleView& view) { seen += view.logits.defined(); }});
    EXPECT_EQ(seen, 3);
    expect_right(5);
    sampler(labels_of(4), {1, 2, 3, 4});
    EXPECT_EQ(sampler.recorded_scales(), 0) << "another size, another memory";
    expect_right(6);
    expect_right(7);
    EXPECT_EQ(sampler.recorded_scales(), 3);
  }
}

}  // namespace
}  // namespace terrace
