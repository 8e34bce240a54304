// Convolutions of cuda/kernels/conv2d.cu in the executor, beside the CPU's.
#include "autograd/ops/conv2d.h"

#include "tests/cuda/parity.h"

namespace terrace {
namespace {

struct Case {
  Shape x, weight;
  Conv2dOptions options;
};

const Case kCases[] = {
    {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
    {{2, 3, 7, 5}, {4, 3, 3, 3}, {1, {1, 1, 1, 1}}},
    {{2, 33, 4, 5}, {35, 33, 1, 1}, {}},
    {{3, 2, 9, 8}, {5, 2, 3, 3}, {2, {0, 1, 0, 1}}},  // as the tokenizer halves images: padding at one side
    {{2, 2, 8, 9}, {3, 2, 2, 4}, {3, {2, 0, 1, 3}}},
    {{1, 4, 6, 6}, {33, 4, 3, 3}, {1, {2, 2, 2, 2}}},
};

TEST(CudaConv2d, ForwardAndGradients) {
  for (const Case& c : kCases) {
    const Conv2dOptions options = c.options;
    expect_parity([options](const std::vector<Variable>& in) { return conv2d(in[0], in[1], in[2], options); },
                  {c.x, c.weight, {c.weight[0]}}, -1, 1);
    expect_parity([options](const std::vector<Variable>& in) { return conv2d(in[0], in[1], {}, options); },
                  {c.x, c.weight}, -1, 1);
  }
}

TEST(CudaConv2d, OnlyWhatIsWanted) {
  const Device device = executor_device();
  const Tensor x = random_tensor({2, 3, 5, 5}, 1), weight = random_tensor({4, 3, 3, 3}, 2),
               bias = random_tensor({4}, 3);
  const auto gradient = [&](Device where, int which) {
    const auto leaf = [&](const Tensor& t, int i) {
      return Variable(t.to(where), i == which ? Requires::kGrad : Requires::kNothing);
    };
    const std::vector<Variable> in{leaf(x, 0), leaf(weight, 1), leaf(bias, 2)};
    const Variable y = conv2d(in[0], in[1], in[2]);
    return grad({y}, {in[static_cast<size_t>(which)]}, {random_tensor(y.shape(), 9).to(where)})[0].to(kCpu);
  };
  for (const int which : {0, 1, 2}) { EXPECT_CLOSE(gradient(device, which), gradient(kCpu, which), 1e-5) << which; }
}

TEST(CudaConv2d, BFloat16IsComputedAsItIs) {
  const Tensor x = Tensor::full({1, 1, 64, 64}, 1, DType::kBF16, executor_device());
  const Variable y = conv2d(Variable(x), Variable(x), {});  // bf16 sums of ones would stop at 256
  EXPECT_EQ(y.dtype(), DType::kBF16);
  EXPECT_EQ(y.value().item<double>(), 4096);
}

}  // namespace
}  // namespace terrace
