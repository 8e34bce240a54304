// A small transformer trained and sampled on every device of CUDA's kernels, beside the CPU.
#include "tensor/random.h"
#include "tests/cuda/parity.h"
#include "tests/var/small_models.h"
#include "var/sampler.h"
#include "var/var_trainer.h"

namespace terrace {
namespace {

VarConfig tiny() {
  VarConfig c = toy_config();
  c.drop_path_rate = 0;
  return c;
}

VarTrainingData tokens_for(const VarConfig& c) {
  Generator g(3);
  VarTrainingData data;
  data.indices = randint(c.vocab_size, {8, c.length()}, g);
  data.labels = randint(c.num_classes, {8}, g);
  data.embed = [input = randn({4, c.length() - 1, c.Cvae}, g)](const Tensor&) { return input; };
  return data;
}

struct Course {
  std::vector<double> losses, norms;
  State parameters;  // on the CPU
  std::vector<Tensor> drawn;
};

Course course_on(Device device) {
  const VarConfig config = tiny();
  Generator g(1);
  VarTransformer model(config, g);
  model.to(device);
  VarTrainOptions options;
  options.batch = 4;
  options.steps = 6;
  options.lr = 3e-3;
  VarTrainer trainer(model, tokens_for(config), options);
  Course course;
  for (int64_t step = 0; step < options.steps; ++step) {
    const VarStepRecord record = trainer.step(VarTrainer::Detail::kLoss);
    course.losses.push_back(record.loss);
    course.norms.push_back(record.gradient_norm);
  }
  for (const auto& [name, value] : model.state()) course.parameters[name] = value.to(kCpu).clone();
  QuantizerConfig codes;
  codes.vocab_size = config.vocab_size;
  codes.channels = config.Cvae;
  codes.patch_nums = config.patch_nums;
  Quantizer quantizer(codes, g);
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 2}, {3});
  course.drawn = sample(model, quantizer, labels, {5, 6, 7}, {.cfg = 1.5, .top_k = 1}).indices;
  return course;
}

TEST(CudaTraining, ATransformerTrainsAndSamplesAsOnTheCpu) {
  const Course expected = course_on(kCpu);
  EXPECT_LT(expected.losses.back(), expected.losses.front());
  for (const Device device : cuda_devices()) {
    SCOPED_TRACE(cat(device));
    const Course actual = course_on(device);
    for (size_t step = 0; step < expected.losses.size(); ++step) {
      EXPECT_NEAR(actual.losses[step], expected.losses[step], 1e-4 * expected.losses[step]) << step;
      EXPECT_NEAR(actual.norms[step], expected.norms[step], 1e-3 * expected.norms[step]) << step;
    }
    // AdamW divides by the root of what it saw squared: a gradient of rounding errors alone moves a parameter by lr.
    for (const auto& [name, value] : expected.parameters) {
      if (value.dtype() != DType::kF32) continue;
      EXPECT_LT(absolute_error(actual.parameters.at(name), value), 2e-2) << name;
    }
    for (size_t s = 0; s < expected.drawn.size(); ++s) EXPECT_SAME(actual.drawn[s], expected.drawn[s]) << s;
  }
}

}  // namespace
}  // namespace terrace
