// A toy transformer and tokens that it learns, for the tests of VarTrainer.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "tests/var/small_models.h"
#include "var/training/var_trainer.h"

namespace terrace {

struct ToyTokens {
  Tensor indices, labels;
};

/// Sequences that the class determines up to two random tokens at the start.
inline ToyTokens toy_tokens(int64_t count, Generator& g) {
  Tensor indices = randint(13, {count, 14}, g), labels = Tensor::empty({count}, DType::kI64);
  for (int64_t i = 0; i < count; ++i) {
    labels.data<int64_t>()[i] = i % 3;
    for (int64_t t = 2; t < 14; ++t) { indices.data<int64_t>()[i * 14 + t] = (i % 3) * 4 + t % 4; }
  }
  return {indices, labels};
}

/// Tokens to train on, and others of the same kind that are held out.
inline VarTrainingData toy_data(int64_t count) {
  static const Quantizer quantizer = quantizer_for(toy_config(), 21);
  Generator g(22);
  VarTrainingData data;
  const ToyTokens train = toy_tokens(count, g), held_out = toy_tokens(7, g);
  data.indices = train.indices;
  data.labels = train.labels;
  data.held_out_indices = held_out.indices;
  data.held_out_labels = held_out.labels;
  data.class_names = {"a", "b", "c"};
  data.tokenizer_hash = "0123";
  data.quantizer = &quantizer;
  return data;
}

inline VarTrainOptions toy_options(int64_t steps) {
  VarTrainOptions o;
  o.steps = steps;
  o.batch = 4;
  o.lr = 3e-3;
  o.log_every = 3;
  o.evaluate_every = 5;
  o.seed = 17;
  return o;
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void train_to(const std::string& path, VarTrainOptions options, const std::string& resume = "") {
  Generator g(5);
  VarTransformer model(toy_config(), g);
  options.checkpoint_path = path;
  VarTrainer trainer(model, toy_data(11), options);
  if (!resume.empty()) { trainer.resume(resume); }
  trainer.run();
}

}  // namespace terrace
