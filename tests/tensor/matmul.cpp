#include "tensor/matmul.h"

#include "tensor/gemm.h"
#include "tensor/pointwise.h"

#include "tests/support.h"

namespace terrace {
namespace {

/// a (M, K) times b (K, N), in double.
Tensor naive_matmul(const Tensor& a, const Tensor& b) {
  const int64_t M = a.dim(0), K = a.dim(1), N = b.dim(1);
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  std::vector<double> product(static_cast<size_t>(M * N));
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t n = 0; n < N; ++n) {
        product[static_cast<size_t>(m * N + n)] +=
            x[static_cast<size_t>(m * K + k)] * y[static_cast<size_t>(k * N + n)];
      }
    }
  }
  return Here::from(product, {M, N});
}

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
    for (double& v : values) v += 3;
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
  for (size_t i = 0; i < values.size(); ++i) values[i] += b[i % 7];
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

/// All forms of the packed product against f64: extents around the panels' and blocks' ends, gaps after stored rows.
TEST(PackedGemm, EveryFormAndExtent) {
  constexpr Extents kPacked[] = {{1, 1, 1},     {5, 7, 3},       {6, 16, 16},   {7, 9, 17},   {13, 33, 31},
                                 {2, 513, 129}, {121, 1030, 40}, {250, 20, 70}, {31, 5, 1100}};
  for (const auto [M, K, N] : kPacked) {
    const Tensor a = random_tensor({M, K}, 1), b = random_tensor({K, N}, 2), bias = random_tensor({N}, 3);
    const Tensor before = random_tensor({M, N}, 4);
    const Tensor product = naive_matmul(a, b);
    for (const bool across_a : {false, true}) {
      for (const bool across_b : {false, true}) {
        const Tensor stored_a = (across_a ? a.transpose(0, 1) : a).contiguous();
        const Tensor stored_b = (across_b ? b.transpose(0, 1) : b).contiguous();
        const GemmShape shape{across_a ? Transpose::kYes : Transpose::kNo,
                              across_b ? Transpose::kYes : Transpose::kNo,
                              M,
                              N,
                              K,
                              stored_a.dim(1),
                              stored_b.dim(1),
                              N + 3};
        const auto run = [&](Write write, const float* added) {
          Tensor c = Here::full({M, N + 3}, 7.0);
          c.slice(1, 0, N).copy_(before);
          packed_gemm(shape, stored_a.data<float>(), stored_b.data<float>(), c.data<float>(), write, added);
          EXPECT_CLOSE(c.slice(1, N, N + 3).contiguous(), Here::full({M, 3}, 7.0), 0) << "beyond the row";
          return c.slice(1, 0, N).contiguous();
        };
        EXPECT_CLOSE(run(Write::kOverwrite, nullptr), product, 2e-6) << M << " " << K << " " << N;
        EXPECT_CLOSE(run(Write::kAccumulate, nullptr), add(product, before.to(DType::kF64)), 2e-6);
        EXPECT_CLOSE(run(Write::kOverwrite, bias.data<float>()), add(product, bias.to(DType::kF64)), 2e-6);
        const Tensor narrow = stored_b.to(DType::kBF16);
        Tensor c = Tensor::empty({M, N});
        GemmShape dense = shape;
        dense.ldc = N;
        packed_gemm(dense, stored_a.data<float>(), narrow.data<BFloat16>(), c.data<float>(), Write::kOverwrite);
        const Tensor wide = narrow.to(DType::kF64);
        EXPECT_CLOSE(c, naive_matmul(a, across_b ? wide.transpose(0, 1) : wide), 2e-6);
      }
    }
  }
}

TEST(PackedGemm, ARowDoesNotDependOnItsNeighboursOrOnThreads) {
  const int64_t M = 150, K = 700, N = 90;
  const Tensor a = random_tensor({M, K}, 5), b = random_tensor({N, K}, 6);
  const auto run = [&](int64_t row, int64_t rows, int count) {
    const int threads_before = threads();
    set_threads(count);
    Tensor c = Tensor::empty({rows, N});
    packed_gemm({Transpose::kNo, Transpose::kYes, rows, N, K, K, K, N}, a.data<float>() + row * K, b.data<float>(),
                c.data<float>(), Write::kOverwrite);
    set_threads(threads_before);
    return c;
  };
  const Tensor all = run(0, M, 2);
  for (const int count : {1, 3, 5}) EXPECT_CLOSE(run(0, M, count), all, 0) << count << " threads";
  for (const int64_t row : {0, 1, 77, 149}) EXPECT_CLOSE(run(row, 1, 2), all.slice(0, row, row + 1), 0) << row;
  EXPECT_CLOSE(run(50, 37, 2), all.slice(0, 50, 87), 0);
}

TEST(Linear, WeightsMayBeStoredInBf16) {
  const Tensor x = random_tensor({3, 5, 40}, 7), weight = random_tensor({33, 40}, 8), bias = random_tensor({33}, 9);
  const Tensor narrow = weight.to(DType::kBF16);
  EXPECT_CLOSE(linear(x, narrow, bias), linear(x, narrow.to(DType::kF32), bias), 2e-6);
  EXPECT_EQ(linear(x, narrow, bias).dtype(), DType::kF32);
}

}  // namespace
}  // namespace terrace
