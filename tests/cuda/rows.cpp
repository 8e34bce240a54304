// Kernels that go over rows and planes, beside the CPU's: lengths around a warp, a block and a pack, aligned or not.
#include "tensor/random.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

Tensor classes(int64_t count, int64_t bound) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back((i * i + 3) % bound); }
  return Tensor::from(values, {count});
}

TEST(CudaRows, CrossEntropy) {
  for (const Shape& shape :
       {Shape{0, 4}, Shape{1, 1}, Shape{3, 31}, Shape{4, 64}, Shape{5, 129}, Shape{2, 4096}, Shape{2, 5001}}) {
    const Tensor targets = classes(shape[0], shape[1]);
    for (const double smoothing : {0.0, 0.1}) {
      expect_parity(
          [&](const std::vector<Variable>& in) {
            return cross_entropy(in[0], targets.to(in[0].value().device()), smoothing);
          },
          {shape}, -9, 9);
    }
  }
}

TEST(CudaRows, CrossEntropyOfExtremeLogits) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> values(3 * 300, -kInf);
  for (size_t i = 0; i < 300; ++i) {
    values[i] = 1e4f + static_cast<float>(i % 7);  // a large common offset
  }
  values[300 + 299] = -50;                               // one class of weight
  const Tensor logits = Tensor::from(values, {3, 300});  // the last row: nothing but -inf
  const Tensor targets = Tensor::from<int64_t>({5, 299, 0}, {3});
  const Tensor expected = cross_entropy(Variable(logits), targets).value();
  const Device device = executor_device();
  const Tensor actual = cross_entropy(Variable(logits.to(device)), targets.to(device)).value().to(kCpu);
  EXPECT_CLOSE(actual.slice(0, 0, 2), expected.slice(0, 0, 2), 1e-6);
  EXPECT_EQ(actual.data<float>()[1], 0);
  EXPECT_TRUE(has_nan(actual.slice(0, 2, 3)) && has_nan(expected.slice(0, 2, 3)));
  // No exception from a device: a target outside the classes is a loss of NaN.
  const Tensor wrong = Tensor::from<int64_t>({-1, 300, 0}, {3}).to(device);
  const Tensor unknown = cross_entropy(Variable(random_tensor({3, 300}, 1).to(device)), wrong).value().to(kCpu);
  EXPECT_TRUE(has_nan(unknown.slice(0, 0, 1)) && has_nan(unknown.slice(0, 1, 2)) && !has_nan(unknown.slice(0, 2, 3)));
}

// No exception from a device: a row of NaN, and a gradient that goes nowhere.
TEST(CudaRows, EmbeddingOfIndicesOutsideTheTable) {
  const Device device = executor_device();
  const int64_t rows = 5, cols = 130, count = 200;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) {
    indices.push_back(i % 7 < rows ? i % 7 : i % 2 == 0 ? -1 : (int64_t{1} << 32) + 1);
  }
  const Variable table(random_tensor({rows, cols}, 1).to(device), Requires::kGrad);
  const Tensor wrong = Tensor::from(indices, {count});
  const Variable y = embedding(table, wrong.to(device));
  const Tensor dy = random_tensor({count, cols}, 2);
  y.backward(dy.to(device));
  const Tensor found = y.value().to(kCpu), weight = table.value().to(kCpu);
  Tensor expected = Tensor::zeros({rows, cols});
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = indices[static_cast<size_t>(i)];
    for (int64_t c = 0; c < cols; ++c) {
      const float value = found.data<float>()[i * cols + c];
      if (row < 0 || row >= rows) {
        ASSERT_TRUE(std::isnan(value)) << i;
      } else {
        ASSERT_EQ(value, weight.data<float>()[row * cols + c]);
        expected.data<float>()[row * cols + c] += dy.data<float>()[i * cols + c];
      }
    }
  }
  EXPECT_CLOSE(table.grad().to(kCpu), expected, 1e-6);
}

TEST(CudaRows, GatedResidual) {
  const Function op = [](const std::vector<Variable>& in) { return gated_residual(in[0], in[1], in[2]); };
  for (const int64_t cols : {1, 33, 64, 1032}) {
    expect_parity(op, {{2, 67, cols}, {2, 67, cols}, {2, 1, cols}});
    expect_parity(op, {{2, 9, cols}, {2, 9, cols}, {1, 1, cols}});
  }
}

TEST(CudaRows, GroupNorm) {
  const auto expect = [](int64_t groups, const Shape& x) {
    const Shape channels{x[1]};
    expect_parity([=](const std::vector<Variable>& in) { return group_norm(in[0], groups, in[1], in[2], 1e-6); },
                  {x, channels, channels});
    expect_parity([=](const std::vector<Variable>& in) { return group_norm_silu(in[0], groups, in[1], in[2], 1e-6); },
                  {x, channels, channels});
  };
  expect(3, {2, 6, 1, 5});
  expect(2, {1, 70, 3, 3});    // more channels in a group than lanes in a warp
  expect(2, {2, 4, 16, 16});   // whole packs
  expect(1, {1, 2, 101, 83});  // more elements than a shard, and than a stretch of a plane
}

TEST(CudaRows, GroupNormOfAFarOffset) {
  const Tensor x = random_tensor({1, 2, 128, 132}, 1, 1000, 1001);
  const auto norm = [](const Tensor& t) { return group_norm(Variable(t), 1, {}, {}, 1e-6).value().to(kCpu); };
  // An f32 sum of numbers near 1000, over 0.3.
  EXPECT_CLOSE(norm(x.to(executor_device())), norm(x.to(DType::kF64)), 2e-3);
}

TEST(CudaRows, BatchNorm) {
  for (const Shape& x : {Shape{2, 3, 1, 5}, Shape{3, 2, 16, 16}, Shape{1, 2, 71, 83}}) {
    expect_parity(
        [&](const std::vector<Variable>& in) {
          const Device device = in[0].value().device();
          const Tensor mean = random_tensor({x[1]}, 5, -1, 1, in[0].dtype()).to(device);
          const Tensor variance = random_tensor({x[1]}, 6, 0.5, 2, in[0].dtype()).to(device);
          return batch_norm_eval(in[0], mean, variance, in[1], in[2], 1e-5);
        },
        {x, {x[1]}, {x[1]}});
  }
}

TEST(CudaRows, DropoutDrawsTheNumbersOfTheCpu) {
  for (const uint64_t offset : {0, 3, 6}) {  // blocks of four draws that begin before the tensor
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{5, 9}, Shape{3, 200}, Shape{4, 64}}) {
      const auto from_there = [&](auto&& op) {
        expect_parity(
            [&](const std::vector<Variable>& in) {
              default_generator() = Generator(7, 2);
              default_generator().offset = offset;
              return op(in[0]);
            },
            {shape});
      };
      from_there([](const Variable& x) { return dropout(x, 0.3, true); });
      from_there([](const Variable& x) { return drop_path(x, 0.5, true); });
    }
  }
}

}  // namespace
}  // namespace terrace
