// Tensors and ops on the device "cuda-host": CUDA's kernels in the executor, under several schedules, beside the CPU's.
#include "autograd/functions.h"
#include "nn/optim.h"
#include "tensor/device/allocator.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"
#include "tensor/reduce.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

TEST(CudaHost, TensorsMoveThereAndBack) {
  const Device device = executor_device();
  EXPECT_EQ(cat(device), "cuda-host");
  const Tensor x = random_tensor({3, 7}, 1);
  const Tensor there = x.to(device);
  EXPECT_EQ(there.describe(), "(3, 7) f32 cuda-host");
  EXPECT_SAME(there.to(kCpu), x);
  EXPECT_SAME(there.transpose(0, 1).to(kCpu), x.transpose(0, 1).contiguous());
  EXPECT_EQ(there.to_vector<double>(), x.to_vector<double>());
  EXPECT_EQ(Tensor::full({5}, 3, DType::kI64, device).to_vector<int64_t>(), std::vector<int64_t>(5, 3));
  EXPECT_EQ(Tensor::zeros({5}, DType::kBF16, device).to_vector<float>(), std::vector<float>(5, 0));
  EXPECT_SAME(there.to(DType::kBF16).to(kCpu), x.to(DType::kBF16));
  Tensor strided = Tensor::zeros({4, 6}, DType::kF32, device);
  strided.slice(1, 1, 6, 2).fill_(2);
  EXPECT_EQ(sum(strided).item<double>(), 24);
  strided.slice(0, 0, 3).slice(1, 0, 6, 2).copy_(random_tensor({3, 3}, 2));
  EXPECT_CLOSE(strided.slice(0, 0, 3).slice(1, 0, 6, 2).to(kCpu), random_tensor({3, 3}, 2), 0);
}

TEST(CudaHost, MemoryIsCountedByDevice) {
  const Device device = executor_device();
  const int64_t before = memory_stats(device).live, cpu_before = memory_stats().live;
  AllocationName scope("test-device");
  const Tensor x = Tensor::empty({1 << 18}, DType::kF32, device);
  EXPECT_EQ(memory_stats(device).live - before, 1 << 20);
  EXPECT_LT(memory_stats().live - cpu_before, 4096);
  EXPECT_EQ(memory_stats(device).named.front().name, "test-device");
}

TEST(CudaHost, PointwiseOfEveryFormula) {
  for_each_op<UnaryOps>([](auto op) {
    using Op = decltype(op);
    for (const int64_t count : {0, 1, 7, 129, 3000}) {
      const Tensor x = random_tensor({count}, 1, Op::kRange.low, Op::kRange.high);
      const Tensor y = apply(op, x);
      const Device device = executor_device();
      EXPECT_CLOSE(apply(op, x.to(device)).to(kCpu), y, 1e-6) << Op::kName;
      EXPECT_CLOSE(apply_backward(op, x.to(device), y.to(device), x.to(device)).to(kCpu), apply_backward(op, x, y, x),
                   1e-6)
          << Op::kName;
    }
  });
  const auto expect = [](Variable (*f)(const Variable&, const Variable&)) {
    const Function op = [f](const std::vector<Variable>& in) { return f(in[0], in[1]); };
    expect_parity(op, {{2, 3, 33}, {3, 1}}, 0.3, 3);
    expect_parity(op, {{129}, {129}}, 0.3, 3);
  };
  expect(&add);
  expect(&mul);
  expect(&div);
  expect(&maximum);
}

TEST(CudaHost, Reductions) {
  for (const Shape& shape : {Shape{1}, Shape{7, 31}, Shape{33, 129}, Shape{2, 5000, 3}, Shape{9000}}) {
    const Function total = [](const std::vector<Variable>& in) { return sum(in[0], {0}); };
    expect_parity(total, {shape});
    const Tensor x = random_tensor(shape, 3), there = x.to(executor_device());
    EXPECT_CLOSE(max(there, {-1}).to(kCpu), max(x, {-1}), 0);
    EXPECT_NEAR(squared_norm(there), squared_norm(x), 1e-5 * squared_norm(x));
    EXPECT_FALSE(has_nan(there));
  }
  EXPECT_TRUE(has_nan(Tensor::from<float>({1, NAN, 2}, {3}).to(executor_device())));
}

TEST(CudaHost, Softmax) {
  for (const Shape& shape : {Shape{0, 4}, Shape{1, 1}, Shape{3, 31}, Shape{2, 3, 33}, Shape{5, 129}, Shape{2, 5000}}) {
    expect_parity([](const std::vector<Variable>& in) { return softmax(in[0]); }, {shape});
    expect_parity([](const std::vector<Variable>& in) { return log_softmax(in[0]); }, {shape});
  }
}

TEST(CudaHost, LayerNorm) {
  for (const int64_t cols : {2, 7, 33, 129, 1030}) {
    expect_parity([](const std::vector<Variable>& in) { return layer_norm(in[0], 1e-6, in[1], in[2]); },
                  {{2, 67, cols}, {cols}, {cols}});
    expect_parity([](const std::vector<Variable>& in) { return layer_norm_modulate(in[0], in[1], in[2], 1e-6); },
                  {{2, 67, cols}, {2, 1, cols}, {1, 1, cols}});
  }
}

TEST(CudaHost, Embedding) {
  // Runs of equal indices within a chunk of 64, across two, and across many.
  const auto expect = [](int64_t count, int64_t rows, int64_t cols) {
    std::vector<int64_t> values;
    for (int64_t i = 0; i < count; ++i) { values.push_back(i % 3 == 0 ? 1 : (i * 7 + i / 11) % rows); }
    const Tensor indices = Tensor::from(values, {count});
    expect_parity([&](const std::vector<Variable>& in) { return embedding(in[0], indices.to(in[0].value().device())); },
                  {{rows, cols}});
  };
  expect(1, 2, 1);
  expect(64, 64, 33);
  expect(300, 10, 129);
  expect(300, 2, 3);
  expect(2500, 900, 2);
}

/// Tensors shorter and longer than a chunk, empty ones, one that is no whole pack, gradients at odd addresses.
TEST(CudaHost, AdamWOverManyTensorsWithTheirNorm) {
  struct TrainingRun {
    std::vector<Tensor> values;
    std::vector<double> norms;
  };
  const auto train = [](Device device) {
    std::vector<std::pair<std::string, Variable>> params;
    for (const int64_t n : {0, 1, 5, 300, 16384, 0, 20001, 33, 0}) {
      const uint64_t seed = 10 + params.size();
      params.emplace_back(cat("p", params.size()), Variable(random_tensor({n}, seed).to(device), Requires::kGrad));
    }
    for (int64_t i = 0; i < 70; ++i) {
      params.emplace_back(cat("p", params.size()), Variable(random_tensor({i}, 10).to(device), Requires::kGrad));
    }
    AdamW optimizer({{params, 1, 1}}, {});
    TrainingRun run;
    for (uint64_t step = 0; step < 3; ++step) {
      for (auto& [name, p] : params) {
        const Tensor longer = random_tensor({p.numel() + 1}, step).to(device);
        p.set_grad(longer.slice(0, 1, p.numel() + 1));
      }
      optimizer.clipped_step(1e-2, 0.05, step == 1 ? 0 : 3);
      run.norms.push_back(optimizer.gradient_norm());
    }
    for (auto& [name, p] : params) { run.values.push_back(p.value().to(kCpu)); }
    return run;
  };
  const TrainingRun expected = train(kCpu);
  for (const Device device : cuda_devices()) {
    TrainingRun first;
    for (const uint64_t seed : {0, 1, 2}) {
      const executor::Schedule schedule(seed);
      const TrainingRun actual = train(device);
      if (seed == 0) { first = actual; }
      EXPECT_EQ(actual.norms, first.norms);
      for (size_t i = 0; i < expected.norms.size(); ++i) {
        EXPECT_NEAR(actual.norms[i], expected.norms[i], 1e-12 * expected.norms[i]);
      }
      for (size_t i = 0; i < expected.values.size(); ++i) {
        EXPECT_CLOSE(actual.values[i], expected.values[i], 1e-6);
        EXPECT_SAME(actual.values[i], first.values[i]);
      }
    }
  }
}

}  // namespace
}  // namespace terrace
