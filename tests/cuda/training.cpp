// A small transformer trained and sampled on every device of CUDA's kernels, beside the CPU.
#include "tensor/random.h"
#include "tests/cuda/parity.h"
#include "tests/var/small_models.h"
#include "var/training/var_trainer.h"
#include "var/transformer/sampler.h"

namespace terrace {
namespace {

VarConfig tiny() {
  VarConfig c = toy_config();
  c.drop_path_rate = 0;
  return c;
}

VarTrainingData tokens_for(const VarConfig& c, const Quantizer& quantizer) {
  Generator g(3);
  VarTrainingData data;
  data.indices = randint(c.vocab_size, {8, c.length()}, g);
  data.labels = randint(c.num_classes, {8}, g);
  data.quantizer = &quantizer;
  return data;
}

struct TrainingRun {
  std::vector<double> losses, norms;
  State parameters;  // on the CPU
  std::vector<Tensor> drawn;
};

TrainingRun train_on(Device device, DType dtype = DType::kF32) {
  const VarConfig config = tiny();
  Generator g(1);
  VarTransformer model(config, g);
  model.to(device);
  VarTrainOptions options;
  options.batch = 4;
  options.steps = 6;
  options.lr = 3e-3;
  options.dtype = dtype;
  Quantizer quantizer = quantizer_for(config, 4);
  VarTrainer trainer(model, tokens_for(config, quantizer), options);
  TrainingRun run;
  for (int64_t step = 0; step < options.steps; ++step) {
    const VarStepRecord record = trainer.step(VarTrainer::Detail::kLoss);
    run.losses.push_back(record.loss);
    run.norms.push_back(record.gradient_norm);
  }
  for (const auto& [name, value] : model.state()) { run.parameters[name] = value.to(kCpu).clone(); }
  quantizer.to(device);
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 2}, {3});
  run.drawn = sample(model, quantizer, labels, {5, 6, 7}, {.cfg = 1.5, .top_k = 1}).indices;
  return run;
}

TEST(CudaTraining, ATransformerTrainsAndSamplesAsOnTheCpu) {
  const TrainingRun expected = train_on(kCpu);
  EXPECT_LT(expected.losses.back(), expected.losses.front());
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    const TrainingRun actual = train_on(device);
    for (size_t step = 0; step < expected.losses.size(); ++step) {
      EXPECT_NEAR(actual.losses[step], expected.losses[step], 1e-4 * expected.losses[step]) << step;
      EXPECT_NEAR(actual.norms[step], expected.norms[step], 1e-3 * expected.norms[step]) << step;
    }
    // AdamW divides by the root of what it saw squared: a gradient of rounding errors alone moves a parameter by lr.
    for (const auto& [name, value] : expected.parameters) {
      if (value.dtype() != DType::kF32) { continue; }
      EXPECT_LT(absolute_error(actual.parameters.at(name), value), 2e-2) << name;
    }
    for (size_t s = 0; s < expected.drawn.size(); ++s) { EXPECT_SAME(actual.drawn[s], expected.drawn[s]) << s; }
  }
}

/// Both round the same values to bf16, whose sums come in another order: a value beside the middle between two of bf16
/// falls to either. The loss is a mean over tokens of what its logits' rounding, 2^-9 each, leaves.
TEST(CudaTraining, InBf16ATransformerTrainsAsOnTheCpu) {
  const TrainingRun expected = train_on(kCpu, DType::kBF16);
  EXPECT_LT(expected.losses.back(), expected.losses.front());
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    const TrainingRun actual = train_on(device, DType::kBF16), again = train_on(device, DType::kBF16);
    for (size_t step = 0; step < expected.losses.size(); ++step) {
      EXPECT_NEAR(actual.losses[step], expected.losses[step], 0x1p-9 * expected.losses[step]) << step;
      EXPECT_NEAR(actual.norms[step], expected.norms[step], 0x1p-6 * expected.norms[step]) << step;
    }
    for (const auto& [name, value] : expected.parameters) {
      EXPECT_SAME(again.parameters.at(name), actual.parameters.at(name));
    }
  }
}

TEST(CudaTraining, AStepWritesMastersAndCopiesAsOnTheCpu) {
  const auto stepped = [](Device device) {
    std::vector<Variable> leaves;
    NamedParameters named;
    for (const int64_t n : {1, 7, 300, 0, 5001}) {
      leaves.emplace_back(random_tensor({n}, static_cast<uint64_t>(n)).to(device), Requires::kGrad);
      named.emplace_back(cat("p", n), leaves.back());
    }
    const ComputeCopies copies({named[1], named[3], named[4]});
    AdamW optimizer({ParameterGroup{named}});
    optimizer.write_copies(copies);
    for (uint64_t step = 0; step < 3; ++step) {
      for (Variable& leaf : leaves) { leaf.set_grad(random_tensor(leaf.shape(), 100 + step).to(device)); }
      optimizer.step(0.02, 0.1, 0.5);
    }
    std::vector<Tensor> values;
    for (const Variable& leaf : leaves) { values.push_back(leaf.value().to(kCpu)); }
    for (const size_t i : {1, 3, 4}) {
      EXPECT_SAME(copies.of(leaves[i]).to(kCpu), values[i].to(DType::kBF16)) << device << " " << i;
    }
    return values;
  };
  const std::vector<Tensor> expected = stepped(kCpu);
  for (const Device device : cuda_devices()) {
    for (const uint64_t seed : {0, 1, 2}) {
      const executor::Schedule schedule(seed);
      const std::vector<Tensor> actual = stepped(device);
      for (size_t i = 0; i < expected.size(); ++i) { EXPECT_CLOSE(actual[i], expected[i], 1e-6) << device << " " << i; }
    }
  }
}

}  // namespace
}  // namespace terrace
