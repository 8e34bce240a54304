// What the tests of CUDA's kernels share: an op on "cuda-host", under several schedules, and on a GPU where there is
// one, beside the CPU's.
#pragma once

#include <functional>

#include "autograd/functions.h"
#include "cuda/executor/executor.h"
#include "tensor/reduce.h"
#include "tests/support.h"

namespace terrace {

inline Device executor_device() { return device_from_name("cuda-host"); }

/// For tests of a GPU alone. With REQUIRE_GPU=1 in the environment Gpu.IsHere fails where there is none.
#define SKIP_WITHOUT_GPU() \
  if (!::terrace::gpu()) GTEST_SKIP() << "needs a GPU"

/// Where CUDA's kernels run: the executor, and the GPU where there is one.
inline std::vector<Device> cuda_devices() {
  std::vector<Device> all{executor_device()};
  if (gpu()) { all.push_back(*gpu()); }
  return all;
}

using Function = std::function<Variable(const std::vector<Variable>&)>;

struct Results {
  Tensor value;
  std::vector<Tensor> gradients;
};

inline Results results_on(Device device, const Function& f, const std::vector<Tensor>& inputs) {
  std::vector<Variable> leaves;
  for (const Tensor& t : inputs) { leaves.emplace_back(t.to(device), Requires::kGrad); }
  const Variable y = f(leaves);
  const Tensor cotangent = random_tensor(y.shape(), 99, -1, 1, y.dtype()).to(device);
  Results results{y.value().to(kCpu), {}};
  for (const Tensor& g : grad({y}, leaves, {cotangent})) { results.gradients.push_back(g.to(kCpu)); }
  return results;
}

inline void expect_close(const Results& actual, const Results& expected, double tolerance, const std::string& where) {
  EXPECT_CLOSE(actual.value, expected.value, tolerance) << where;
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_CLOSE(actual.gradients[i], expected.gradients[i], tolerance) << where << " gradient of input " << i;
  }
}
inline void expect_same(const Results& actual, const Results& expected, const std::string& where) {
  EXPECT_SAME(actual.value, expected.value) << where;
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_SAME(actual.gradients[i], expected.gradients[i]) << where << " gradient of input " << i;
  }
}

/// f(device) must have the CPU's bits on the executor, under every schedule.
template <class F>
void expect_same_as_cpu(const F& f) {
  const Tensor expected = f(kCpu);
  for (const uint64_t seed : {0, 1, 2}) {
    const executor::Schedule schedule(seed);
    EXPECT_SAME(f(executor_device()).to(kCpu), expected) << "schedule " << seed;
  }
}

/// Value and gradients must be the CPU's in f32 and bf16, and the same bits under every schedule and every time.
inline void expect_parity(const Function& f, const std::vector<Shape>& shapes, double low = -2, double high = 2) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    // f32: sums in another order, about sqrt(length) roundings. bf16: those, rounded to 8 bits.
    const double tolerance = dtype == DType::kF32 ? 1e-5 : 8e-3;
    std::vector<Tensor> inputs;
    for (const Shape& shape : shapes) { inputs.push_back(random_tensor(shape, inputs.size() + 1, low, high, dtype)); }
    const Results expected = results_on(kCpu, f, inputs);
    Results first;
    for (const uint64_t seed : {0, 1, 2}) {
      const executor::Schedule schedule(seed);
      const Results actual = results_on(executor_device(), f, inputs);
      expect_close(actual, expected, tolerance, cat(dtype, " schedule ", seed));
      if (seed == 0) { first = actual; }
      expect_same(actual, first, cat(dtype, " schedule ", seed));
    }
    if (!gpu()) { continue; }
    const Results once = results_on(*gpu(), f, inputs);
    expect_close(once, expected, tolerance, cat(dtype, " on the GPU"));
    expect_same(results_on(*gpu(), f, inputs), once, cat(dtype, " on the GPU again"));
  }
}

}  // namespace terrace
