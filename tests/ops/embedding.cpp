#include "autograd/ops/embedding.h"

#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Tensor indices_for(const Shape& shape, int64_t rows) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    values.push_back((i * i + 3) % rows);  // with repeats
  }
  return Here::from(values, shape);
}

Function op(const Tensor& indices) {
  return [=](const std::vector<Variable>& in) { return embedding(in[0], indices); };
}

/// The product of one-hot rows with the table.
Function composite(const Tensor& indices) {
  return [=](const std::vector<Variable>& in) {
    Tensor one_hot = Here::zeros({indices.numel(), in[0].dim(0)}, in[0].dtype());
    const std::vector<int64_t> index = indices.to_vector<int64_t>();
    for (size_t i = 0; i < index.size(); ++i) {
      one_hot.select(0, static_cast<int64_t>(i)).slice(0, index[i], index[i] + 1).fill_(1);
    }
    Shape shape = indices.shape();
    shape.push_back(in[0].dim(1));
    return reshape(matmul(Variable(one_hot), in[0]), shape);
  };
}

TEST(Embedding, EqualsTheOneHotProduct) {
  for (const int64_t channels : {1, 2, 7, 31, 33, 129}) {
    const Tensor indices = indices_for({3, 7}, 10);
    expect_matches(op(indices), composite(indices), {random_leaf({10, channels}, 1, -1, 1, kF64)}, 0, 1e-14);
  }
}

TEST(Embedding, Gradcheck) {
  expect_gradcheck("embedding", op(indices_for({5}, 4)), {random_leaf({4, 3}, 2, -1, 1, kF64)});
}

TEST(Embedding, EmptyIndicesAndUnusedRows) {
  const Variable table = random_leaf({4, 3}, 3);
  const Tensor none = Here::zeros({0, 2}, DType::kI64);
  EXPECT_EQ(embedding(table, none).shape(), (Shape{0, 2, 3}));
  EXPECT_SAME(gradients_of(op(none), {table})[0], Here::zeros({4, 3}));
  EXPECT_EQ(embedding(table, Here::zeros({}, DType::kI64)).shape(), (Shape{3}));
}

TEST(Embedding, ThreadsDoNotMatter) {
  expect_independent_of_threads(op(indices_for({700}, 13)), {random_leaf({13, 65}, 4)});
}

TEST(Embedding, BFloat16SumsInF32) { expect_bf16_matches(op(indices_for({300}, 3)), {random_leaf({3, 9}, 5)}); }

TEST(Embedding, BadInput) {
  const Variable table(Here::zeros({4, 3}));
  expect_error<DTypeError>([&] { embedding(table, Here::zeros({2})); }, "indices");
  expect_error<ShapeError>([&] { embedding(Variable(Here::zeros({4})), Here::zeros({2}, DType::kI64)); }, "weight");
  if (!test_device().is_cpu()) {
    return;  // another device's indices are not searched
  }
  expect_error<IndexError>([&] { embedding(table, Here::from<int64_t>({0, 4}, {2})); }, "index 1 is 4");
  expect_error<IndexError>([&] { embedding(table, Here::from<int64_t>({-1}, {1})); }, "index 0 is -1");
}

// No exception from a device: a row of NaN, and a gradient that goes nowhere.
TEST(CudaEmbedding, IndicesOutsideTheTable) {
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

TEST(CudaEmbedding, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("embedding", {{"weight", {4, 2}}, {"indices", {3}, DType::kI64}},
                    [](const Tensors& t) { embedding(Variable(t[0]), t[1]); });
}

}  // namespace
}  // namespace terrace
