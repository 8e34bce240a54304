#include "tensor/matmul.h"

#include <cmath>

#include "tensor/gemm/gemm.h"
#include "tensor/kernels/gemm/linear_product.h"
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
  for (const int count : {1, 3, 5}) { EXPECT_CLOSE(run(0, M, count), all, 0) << count << " threads"; }
  for (const int64_t row : {0, 1, 77, 149}) { EXPECT_CLOSE(run(row, 1, 2), all.slice(0, row, row + 1), 0) << row; }
  EXPECT_CLOSE(run(50, 37, 2), all.slice(0, 50, 87), 0);
}

/// y (M, N) of linear_product with gaps after every stored row; what lies in y's gaps must stay.
template <class W>
Tensor run_linear_product(const Kernel<void(const LinearProduct<W>&)>& kernel, const Tensor& x, const Tensor& weight,
                          const Tensor& bias) {
  constexpr int64_t kGap = 3;
  const auto spread = [](const Tensor& t) {
    Tensor wide = Tensor::full({t.dim(0), t.dim(1) + kGap}, NAN, t.dtype());
    wide.slice(1, 0, t.dim(1)).copy_(t);
    return wide;
  };
  const int64_t M = x.dim(0), K = x.dim(1), N = weight.dim(0);
  const Tensor stored_x = spread(x), stored_weight = spread(weight), y = Tensor::full({M, N + kGap}, 7.0);
  kernel(kCpu, {M, N, K, K + kGap, K + kGap, N + kGap, stored_x.data<float>(), stored_weight.data<W>(),
                data_or_null<float>(bias), y.data<float>()});
  EXPECT_CLOSE(y.slice(1, N, N + kGap).contiguous(), Tensor::full({M, kGap}, 7.0), 0) << "beyond the row";
  return y.slice(1, 0, N).contiguous();
}

struct LinearExtents {
  int64_t M, K, N;
};
/// Around the ends of vectors, panels, blocks of K and of columns, and of the rows taken at a time.
constexpr LinearExtents kLinear[] = {{1, 2, 1},     {2, 30, 7},     {5, 16, 6},   {9, 46, 17},
                                     {17, 514, 31}, {33, 100, 73},  {65, 18, 40}, {71, 1030, 13},
                                     {200, 64, 5},  {513, 40, 150}, {24, 98, 9},  {6, 1154, 22}};

TEST(Linear, EveryExtentAndWeight) {
  for (const auto [M, K, N] : kLinear) {
    const Tensor x = random_tensor({M, K}, 1), weight = random_tensor({N, K}, 2), bias = random_tensor({N}, 3);
    const Tensor narrow = weight.to(DType::kBF16);
    const auto expected = [&](const Tensor& rows, const Tensor& w) {
      return add(naive_matmul(rows, w.to(DType::kF64).transpose(0, 1)), bias.to(DType::kF64));
    };
    EXPECT_CLOSE(run_linear_product(linear_product<float>, x, weight, bias), expected(x, weight), 2e-6)
        << M << " " << K << " " << N;
    EXPECT_CLOSE(run_linear_product(linear_product<float>, x, weight, Tensor()),
                 naive_matmul(x, weight.transpose(0, 1)), 2e-6);
    EXPECT_CLOSE(run_linear_product(linear_product<BFloat16>, x, narrow, bias), expected(x, narrow), 2e-6)
        << M << " " << K << " " << N;
    if (!has_bf16_products()) { continue; }
    EXPECT_CLOSE(run_linear_product(linear_product_bf16, x, narrow, bias), expected(x.to(DType::kBF16), narrow), 2e-6)
        << M << " " << K << " " << N;
  }
}

/// The claim of tensor/kernels/gemm/linear_product.h: the order of summation is that of the packed product.
TEST(Linear, SumsAsThePackedProductDoesToTheBit) {
  const int64_t M = 90, K = 1200, N = 77;
  const Tensor x = random_tensor({M, K}, 4), weight = random_tensor({N, K}, 5), bias = random_tensor({N}, 6);
  Tensor packed = Tensor::empty({M, N});
  packed_gemm({Transpose::kNo, Transpose::kYes, M, N, K, K, K, N}, x.data<float>(), weight.data<float>(),
              packed.data<float>(), Write::kOverwrite, bias.data<float>());
  EXPECT_CLOSE(linear(x, weight, bias), packed, 0);
  const int threads_before = threads();
  for (const int count : {1, 3, 5}) {
    set_threads(count);
    EXPECT_CLOSE(linear(x, weight, bias), packed, 0) << count << " threads";
  }
  set_threads(threads_before);
  for (const int64_t row : {0, 1, 63, 64, 89}) {
    EXPECT_CLOSE(linear(x.slice(0, row, row + 1), weight, bias), packed.slice(0, row, row + 1), 0) << row;
  }
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
