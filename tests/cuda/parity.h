// What the tests of CUDA's kernels share: an op on "cuda-host", under several schedules, beside the CPU's.
#pragma once

#include <functional>

#include "autograd/functions.h"
#include "cuda/executor/executor.h"
#include "tensor/reduce.h"
#include "tests/support.h"

namespace terrace {

inline Device executor_device() { return device_from_name("cuda-host"); }

using Function = std::function<Variable(const std::vector<Variable>&)>;

struct Results {
  Tensor value;
  std::vector<Tensor> gradients;
};

inline Results results_on(Device device, const Function& f, const std::vector<Tensor>& inputs) {
  std::vector<Variable> leaves;
  for (const Tensor& t : inputs) leaves.emplace_back(t.to(device), Requires::kGrad);
  const Variable y = f(leaves);
  const Tensor cotangent = random_tensor(y.shape(), 99, -1, 1, y.dtype()).to(device);
  Results results{y.value().to(kCpu), {}};
  for (const Tensor& g : grad({y}, leaves, {cotangent})) results.gradients.push_back(g.to(kCpu));
  return results;
}

/// Value and gradients must be the CPU's in f32 and bf16, the same bits under every schedule.
inline void expect_parity(const Function& f, const std::vector<Shape>& shapes, double low = -2, double high = 2) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    // f32: sums in another order, about sqrt(length) roundings. bf16: those, rounded to 8 bits.
    const double tolerance = dtype == DType::kF32 ? 1e-5 : 8e-3;
    std::vector<Tensor> inputs;
    for (const Shape& shape : shapes) inputs.push_back(random_tensor(shape, inputs.size() + 1, low, high, dtype));
    const Results expected = results_on(kCpu, f, inputs);
    Results first;
    for (const uint64_t seed : {0, 1, 2}) {
      const executor::Schedule schedule(seed);
      const Results actual = results_on(executor_device(), f, inputs);
      EXPECT_CLOSE(actual.value, expected.value, tolerance) << dtype << " schedule " << seed;
      for (size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_CLOSE(actual.gradients[i], expected.gradients[i], tolerance) << dtype << " gradient of input " << i;
      }
      if (seed == 0) {
        first = actual;
        continue;
      }
      EXPECT_SAME(actual.value, first.value) << "schedule " << seed;
      for (size_t i = 0; i < inputs.size(); ++i) EXPECT_SAME(actual.gradients[i], first.gradients[i]) << seed;
    }
  }
}

}  // namespace terrace
