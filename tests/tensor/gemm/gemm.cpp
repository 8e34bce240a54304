#include "tensor/gemm/gemm.h"

#include <cmath>

#include "tensor/kernels/gemm/linear_product.h"
#include "tensor/matmul.h"
#include "tensor/pointwise.h"

#include "tests/support.h"
#include "tests/tensor/naive_matmul.h"

namespace terrace {
namespace {

struct Extents {
  int64_t M, K, N;
};

/// All forms of the packed product against f64: extents around the panels' and blocks' ends, gaps after stored rows.
TEST(PackedGemm, EveryFormAndExtent) {
  constexpr Extents kPacked[] = {{1, 1, 1},     {5, 7, 3},       {6, 16, 16},   {7, 9, 17},   {13, 33, 31},
                                 {2, 513, 129}, {121, 1030, 40}, {250, 20, 70}, {31, 5, 1100}};
  for (const auto [M, K, N] : kPacked) {
    const Tensor a = random_tensor({M, K}, 1), b = random_tensor({K, N}, 2), bias = random_tensor({N}, 3);
    const Tensor previous = random_tensor({M, N}, 4);
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
          c.slice(1, 0, N).copy_(previous);
          packed_gemm(shape, stored_a.data<float>(), stored_b.data<float>(), c.data<float>(), write, added);
          EXPECT_CLOSE(c.slice(1, N, N + 3).contiguous(), Here::full({M, 3}, 7.0), 0) << "beyond the row";
          return c.slice(1, 0, N).contiguous();
        };
        EXPECT_CLOSE(run(Write::kOverwrite, nullptr), product, 2e-6) << M << " " << K << " " << N;
        EXPECT_CLOSE(run(Write::kAccumulate, nullptr), add(product, previous.to(DType::kF64)), 2e-6);
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

/// Around the ends of vectors, panels, blocks of K and of columns, and chunks of rows.
constexpr Extents kLinear[] = {{1, 2, 1},     {2, 30, 7},     {5, 16, 6},   {9, 46, 17},
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

}  // namespace
}  // namespace terrace
