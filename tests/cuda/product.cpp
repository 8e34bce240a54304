// Products of cuda/kernels/product.cu in the executor, beside the CPU's.
#include "cuda/kernels/product.h"

#include "tensor/matmul.h"
#include "tensor/pointwise.h"
#include "tests/cuda/parity.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;

struct Extents {
  int64_t M, K, N;
};
constexpr Extents kExtents[] = {{1, 1, 1}, {2, 7, 1}, {1, 129, 31}, {31, 33, 7}, {33, 16, 65}, {70, 40, 32}};

TEST(CudaProduct, Matmul) {
  for (const auto [M, K, N] : kExtents) {
    expect_parity([](const Inputs& in) { return matmul(in[0], in[1]); }, {{M, K}, {K, N}});
    expect_parity([](const Inputs& in) { return matmul(transpose(in[0], 0, 1), transpose(in[1], 0, 1)); },
                  {{K, M}, {N, K}});
  }
}

TEST(CudaProduct, BatchesWithSharedAndStridedMatrices) {
  expect_parity([](const Inputs& in) { return matmul(in[0], in[1]); }, {{3, 33, 7}, {3, 7, 35}});
  expect_parity([](const Inputs& in) { return matmul(in[0], in[1]); }, {{2, 1, 5, 7}, {3, 7, 4}});
  expect_parity([](const Inputs& in) { return matmul(in[0], in[1]); }, {{1, 5, 7}, {4, 7, 4}});
  expect_parity([](const Inputs& in) { return matmul(slice(in[0], 2, 3, 12), transpose(in[1], 1, 2)); },
                {{2, 33, 20}, {2, 5, 9}});
}

TEST(CudaProduct, Linear) {
  for (const auto [M, K, N] : kExtents) {
    expect_parity([](const Inputs& in) { return linear(in[0], in[1], in[2]); }, {{2, M, K}, {N, K}, {N}});
    expect_parity([](const Inputs& in) { return linear(in[0], in[1]); }, {{M, K}, {N, K}});
  }
}

TEST(CudaProduct, FeedForward) {
  for (const auto [M, K, N] : kExtents) {
    expect_parity([](const Inputs& in) { return feed_forward(in[0], in[1], in[2], in[3], in[4]); },
                  {{2, M, K}, {N, K}, {N}, {K, N}, {K}}, -1, 1);
  }
  expect_parity([](const Inputs& in) { return feed_forward(in[0], in[1], {}, in[2], {}); }, {{5, 7}, {33, 7}, {3, 33}},
                -1, 1);
}

TEST(CudaProduct, AccumulatesAndLeavesGapsAlone) {
  const Tensor a = random_tensor({33, 20}, 1), b = random_tensor({20, 35}, 2), before = random_tensor({33, 40}, 3);
  const auto run = [&](Device device) {
    Tensor wide = before.to(device).clone();
    Tensor c = wide.slice(1, 2, 37);
    matmul_into(a.to(device), b.to(device), c, Write::kAccumulate);
    return wide.to(kCpu);
  };
  EXPECT_CLOSE(run(executor_device()), run(kCpu), 1e-6);
}

/// What a GPU does where cuBLASLt refuses an epilogue: the product alone, then finish_product.
template <class T, class R = T>
void expect_two_steps_equal_one(Epilogue epilogue) {
  constexpr DType kType = kDTypeOf<T>, kResult = kDTypeOf<R>;
  const Device device = executor_device();
  const int64_t M = 33, N = 35, K = 20;
  const auto on_device = [&](const Shape& shape, uint64_t seed, DType dtype) {
    return random_tensor(shape, seed, -1, 1, dtype).to(device);
  };
  const Tensor a = on_device({K, M}, 1, kType), b = on_device({K, N}, 2, kType), bias = on_device({N}, 3, kResult);
  const auto run = [&](bool at_once) {
    const Tensor c = Tensor::empty({M, N}, kResult, device), pre_activation = on_device({M, N}, 4, kType).clone();
    const Tensor columns = Tensor::zeros({N}, kResult, device), sums = Tensor::zeros({M}, kType, device);
    Product<T, R> p{.shape = {Transpose::kYes, Transpose::kNo, M, N, K, M, N, N},
                    .a = a.data<T>(),
                    .b = b.data<T>(),
                    .c = c.data<R>(),
                    .epilogue = epilogue};
    const Product<T, R> plain = [&p] {
      Product<T, R> copy = p;
      copy.epilogue = Epilogue::kNone;
      return copy;
    }();
    p.bias = bias.data<R>();
    p.pre_activation = pre_activation.data<T>();
    if (epilogue == Epilogue::kGeluBackward) { p.column_sums = columns.data<R>(); }
    if (epilogue == Epilogue::kNone) { p.sums_of_a = sums.data<T>(); }
    matrix_product<T, R>(device, at_once ? p : plain);
    if (!at_once) { cuda::finish_product(p); }
    return std::vector<Tensor>{c.to(kCpu), pre_activation.to(kCpu), columns.to(kCpu), sums.to(kCpu)};
  };
  const std::vector<Tensor> once = run(true), twice = run(false);
  // bf16 rounds the product before the second step.
  for (size_t i = 0; i < once.size(); ++i) {
    EXPECT_CLOSE(twice[i], once[i], kResult == DType::kBF16 ? 1e-2 : 1e-6) << i;
  }
}

TEST(CudaProduct, EpiloguesInTwoSteps) {
  for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kBias, Epilogue::kBiasGelu, Epilogue::kGeluBackward}) {
    expect_two_steps_equal_one<float>(epilogue);
    expect_two_steps_equal_one<BFloat16>(epilogue);
  }
  expect_two_steps_equal_one<BFloat16, float>(Epilogue::kBias);
}

TEST(CudaProduct, F32ResultOfBf16Operands) {
  for (const auto [M, K, N] : kExtents) {
    SCOPED_TRACE(cat(M, " ", K, " ", N));
    const std::vector<Tensor> inputs = {random_tensor({M, K}, 1, -1, 1, DType::kBF16),
                                        random_tensor({N, K}, 2, -1, 1, DType::kBF16), random_tensor({N}, 3)};
    const auto f = [](const Inputs& in) { return linear(in[0], in[1], in[2], DType::kF32); };
    const Results expected = results_on(kCpu, f, inputs);
    for (const Device device : cuda_devices()) {
      const Results actual = results_on(device, f, inputs);
      EXPECT_CLOSE(actual.value, expected.value, 1e-6) << device;
      expect_close(actual, expected, 8e-3, cat(device));
      expect_same(results_on(device, f, inputs), actual, cat(device, " again"));
    }
  }
}

TEST(CudaProduct, BFloat16SumsInF32) {
  const int64_t K = 4096;  // bf16 sums of ones would stop at 256
  const Tensor ones = Tensor::full({1, K}, 1, DType::kBF16, executor_device());
  EXPECT_EQ(matmul(ones, ones.transpose(0, 1)).item<double>(), 4096);
}

TEST(CudaProduct, WeightsStoredInBf16) {
  const Device device = executor_device();
  const Tensor x = random_tensor({3, 40}, 7), weight = random_tensor({33, 40}, 8, -1, 1, DType::kBF16);
  EXPECT_CLOSE(linear(x.to(device), weight.to(device), {}).to(kCpu), linear(x, weight.to(DType::kF32), {}), 1e-6);
}

}  // namespace
}  // namespace terrace
