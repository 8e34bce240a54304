#include "tensor/matmul.h"

#include <cmath>

#include "tensor/pointwise.h"

#include "tests/support.h"
#include "tests/tensor/naive_matmul.h"

namespace terrace {
namespace {

struct Extents {
  int64_t M, K, N;
};
const Extents kExtents[] = {{0, 3, 2}, {2, 0, 3},   {1, 1, 1},     {2, 7, 1},      {1, 129, 31},
                            {7, 1, 2}, {31, 33, 7}, {33, 129, 65}, {129, 31, 128}, {200, 300, 100}};

TEST(Matmul, EveryShapeAndType) {
  for (const auto [M, K, N] : kExtents) {
    const Tensor a = random_tensor({M, K}, 1), b = random_tensor({K, N}, 2);
    const Tensor expected = naive_matmul(a, b);
    EXPECT_CLOSE(matmul(a, b), expected, 2e-6) << M << " " << K << " " << N;
    EXPECT_CLOSE(matmul(a.to(DType::kF64), b.to(DType::kF64)), expected, 1e-13) << M << " " << K << " " << N;
    const Tensor a16 = a.to(DType::kBF16), b16 = b.to(DType::kBF16);
    EXPECT_CLOSE(matmul(a16, b16), naive_matmul(a16, b16), 1e-2) << M << " " << K << " " << N;
  }
}

TEST(Matmul, ReadsTransposedAndSlicedOperandsInPlace) {
  const Tensor a = random_tensor({33, 31}, 3), b = random_tensor({129, 33}, 4);
  EXPECT_CLOSE(matmul(a.transpose(0, 1), b.transpose(0, 1)), naive_matmul(a.transpose(0, 1), b.transpose(0, 1)), 2e-6);
  const Tensor wide = random_tensor({31, 3 * 33}, 5);
  const Tensor part = wide.slice(1, 33, 66);
  EXPECT_CLOSE(matmul(part, b.transpose(0, 1)), naive_matmul(part, b.transpose(0, 1)), 2e-6);
  const Tensor gaps = wide.slice(1, 0, 99, 3);  // no unit stride
  EXPECT_CLOSE(matmul(gaps, b.transpose(0, 1)), naive_matmul(gaps, b.transpose(0, 1)), 2e-6);
  const Tensor repeated = random_tensor({1, 33}, 6).expand({7, 33});
  EXPECT_CLOSE(matmul(repeated, b.transpose(0, 1)), naive_matmul(repeated, b.transpose(0, 1)), 2e-6);
}

TEST(Matmul, LeadingExtentsBroadcast) {
  const Tensor a = random_tensor({2, 1, 5, 7}, 7), b = random_tensor({3, 7, 4}, 8);
  const Tensor y = matmul(a, b);
  ASSERT_EQ(y.shape(), Shape({2, 3, 5, 4}));
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      EXPECT_CLOSE(y.select(0, i).select(0, j), naive_matmul(a.select(0, i).select(0, 0), b.select(0, j)), 2e-6);
    }
  }
  EXPECT_EQ(matmul(Here::zeros({0, 2, 3}), Here::zeros({3, 4})).shape(), Shape({0, 2, 4}));
}

TEST(Matmul, AccumulatesWhereAsked) {
  const Tensor a = random_tensor({7, 31}, 9), b = random_tensor({31, 5}, 10);
  for (DType dtype : {DType::kF32, DType::kF64}) {
    Tensor c = Here::full({7, 5}, 3, dtype);
    matmul_into(a.to(dtype), b.to(dtype), c, Write::kAccumulate);
    Tensor expected = naive_matmul(a, b);
    std::vector<double> values = expected.to_vector<double>();
    for (double& v : values) { v += 3; }
    EXPECT_CLOSE(c, Here::from(values, {7, 5}), 2e-6);
    matmul_into(a.to(dtype), b.to(dtype), c);
    EXPECT_CLOSE(c, expected, 2e-6);
  }
}

TEST(Matmul, LinearIsAProductWithTheTransposedWeight) {
  const Tensor x = random_tensor({2, 3, 31}, 11), weight = random_tensor({7, 31}, 12), bias = random_tensor({7}, 13);
  const Tensor product = naive_matmul(x.reshape({6, 31}), weight.transpose(0, 1)).reshape({2, 3, 7});
  EXPECT_CLOSE(linear(x, weight, Tensor()), product, 2e-6);
  std::vector<double> values = product.to_vector<double>();
  const std::vector<double> b = bias.to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) { values[i] += b[i % 7]; }
  EXPECT_CLOSE(linear(x, weight, bias), Here::from(values, {2, 3, 7}), 2e-6);
}

TEST(Matmul, RefusesWhatDoesNotFit) {
  const Tensor a = Here::zeros({2, 3});
  expect_error<ShapeError>([&] { matmul(a, Here::zeros({4, 5})); }, "(4, 5)");
  expect_error<ShapeError>([&] { matmul(a, Here::zeros({3})); }, "matmul");
  expect_error<ShapeError>([&] { matmul(Here::zeros({2, 2, 3}), Here::zeros({3, 3, 2})); }, "matmul");
  expect_error<DTypeError>([&] { matmul(a, Here::zeros({3, 2}, DType::kF64)); }, "matmul");
  expect_error<DTypeError>([&] { matmul(a.to(DType::kI64), Here::zeros({3, 2}, DType::kI64)); }, "matmul");
  expect_error<ShapeError>([&] { linear(a, Here::zeros({5, 4}), Tensor()); }, "linear");
  expect_error<ShapeError>([&] { linear(a, Here::zeros({5, 3}), Here::zeros({4})); }, "bias");
}

TEST(Linear, NaNsOfBf16WeightsStay) {
  Tensor weight = random_tensor({8, 16}, 8);
  weight.data<float>()[5 * 16 + 3] = NAN;
  const Tensor y = linear(random_tensor({4, 16}, 7), weight.to(DType::kBF16), Tensor());
  for (int64_t i = 0; i < 32; ++i) { EXPECT_EQ(std::isnan(y.data<float>()[i]), i % 8 == 5) << i; }
}

TEST(Linear, WeightsMayBeStoredInBf16) {
  for (const int64_t K : {40, 41}) {  // pairs need an even K
    const Tensor x = random_tensor({3, 5, K}, 7), weight = random_tensor({33, K}, 8), bias = random_tensor({33}, 9);
    const Tensor narrow = weight.to(DType::kBF16), y = linear(x, narrow, bias);
    const bool pairs = x.device().is_cpu() && has_bf16_products() && K % 2 == 0;
    const Tensor rows = pairs ? x.to(DType::kBF16).to(DType::kF32) : x;
    EXPECT_CLOSE(y, linear(rows, narrow.to(DType::kF32), bias), 2e-6);
    EXPECT_EQ(y.dtype(), DType::kF32);
  }
}

}  // namespace
}  // namespace terrace
