// What the tests of evaluate share: pictures, files of samples, and an evaluation at level 64.
#pragma once

#include <string>

#include "data/formats/npz.h"
#include "experiments/evaluation/evaluation.h"
#include "tensor/random.h"
#include "tests/experiments/evaluation/first_layers.h"
#include "tests/support.h"

namespace terrace {

/// Pictures of random brightness and grain, u8 (N, 12, 16, 3).
inline Tensor pictures(int64_t count, uint64_t seed) {
  Generator g(seed, 0);
  const Tensor noise = randint(96, {count, 12, 16, 3}, g), base = randint(160, {count}, g);
  Tensor images = Tensor::empty({count, 12, 16, 3}, DType::kU8);
  for (int64_t i = 0; i < images.numel(); ++i) {
    images.data<uint8_t>()[i] =
        static_cast<uint8_t>(noise.data<int64_t>()[i] + base.data<int64_t>()[i / (12 * 16 * 3)]);
  }
  return images;
}

inline void write_samples(const std::string& path, const Tensor& images, const Tensor& labels = {}) {
  NpzWriter npz(path);
  npz.begin("arr_0", DType::kU8, images.shape());
  npz.append(images);
  if (labels.defined()) {
    npz.begin("arr_1", DType::kI64, labels.shape());
    npz.append(labels);
  }
  npz.commit();
}

class Evaluate : public testing::Test {
 protected:
  Evaluate() {
    write_first_layers(folder_ / "weights.safetensors");
    options_.inception.weights = folder_ / "weights.safetensors";
    options_.inception.level = 64;
    options_.fake = folder_ / "fake.npz";
    options_.real = folder_ / "real.npz";
  }
  std::string stamp_line() const { return evaluate(options_).figures.at(0).stamp_line; }

  TemporaryFolder folder_;
  EvaluationOptions options_;
};

}  // namespace terrace
