#include "tensor/matmul.h"
#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tests/cuda/one_device.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;
constexpr DType kF64 = DType::kF64;

Variable product(const Inputs& in) { return matmul(in[0], in[1]); }

TEST(MatmulOp, Gradcheck) {
  const std::pair<Shape, Shape> shapes[] = {
      {{5, 7}, {7, 3}}, {{1, 7}, {7, 1}}, {{2, 3, 4}, {2, 4, 5}}, {{2, 1, 3, 4}, {3, 4, 2}}, {{2, 3, 4}, {4, 5}}};
  for (const auto& [a, b] : shapes) {
    gradcheck("matmul", product, {random_tensor(a, 1, -1, 1, kF64), random_tensor(b, 2, -1, 1, kF64)});
  }
}

TEST(MatmulOp, GradcheckThroughTransposedOperands) {
  gradcheck("matmul transposed",
            [](const Inputs& in) { return matmul(transpose(in[0], 0, 1), transpose(in[1], 0, 1)); },
            {random_tensor({7, 5}, 1, -1, 1, kF64), random_tensor({3, 7}, 2, -1, 1, kF64)});
}

TEST(LinearOp, Gradcheck) {
  const auto apply = [](const Inputs& in) { return linear(in[0], in[1], in.size() > 2 ? in[2] : Variable()); };
  for (const Shape& x : {Shape{2, 3, 5}, Shape{1, 5}, Shape{5}}) {
    const Tensor input = random_tensor(x, 1, -1, 1, kF64), weight = random_tensor({4, 5}, 2, -1, 1, kF64);
    gradcheck("linear", apply, {input, weight, random_tensor({4}, 3, -1, 1, kF64)});
    gradcheck("linear without bias", apply, {input, weight});
  }
}

TEST(LinearOp, GradientsOfLargeF32AgreeWithF64) {
  const Tensor x = random_tensor({129, 65}, 1), weight = random_tensor({33, 65}, 2), bias = random_tensor({33}, 3);
  const auto gradients = [&](DType dtype) {
    const Inputs in = {Variable(x.to(dtype), Requires::kGrad), Variable(weight.to(dtype), Requires::kGrad),
                       Variable(bias.to(dtype), Requires::kGrad)};
    linear(in[0], in[1], in[2]).backward(random_tensor({129, 33}, 4, -1, 1, dtype));
    return std::vector<Tensor>{in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const std::vector<Tensor> single = gradients(DType::kF32), exact = gradients(kF64);
  for (size_t i = 0; i < 3; ++i) { EXPECT_CLOSE(single[i], exact[i], 5e-6) << i; }
}

TEST(LinearOp, GradientsOnlyWhereNeeded) {
  const Variable x(random_tensor({2, 5}, 1)), weight = random_leaf({4, 5}, 2);
  sum(linear(x, weight, {})).backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(x.grad().defined());
}

/// bf16 operands with an f32 result: exact products, summed in f32, beside the same sums in f64.
TEST(LinearOp, F32ResultOfBf16OperandsIsNotRounded) {
  struct Extents {
    Shape x;
    int64_t N;
  };
  for (const auto& [shape, N] : {Extents{{129, 65}, 33}, Extents{{2, 3, 8}, 1}, Extents{{7}, 5}, Extents{{1, 1}, 40}}) {
    SCOPED_TRACE(cat(shape, " to ", N));
    const int64_t K = shape[shape.size() - 1];
    const Tensor x = random_tensor(shape, 1, -1, 1, DType::kBF16), weight = random_tensor({N, K}, 2, -1, 1, x.dtype());
    const Tensor bias = random_tensor({N}, 3);
    for (const bool with_bias : {true, false}) {
      const Inputs in = {Variable(x, Requires::kGrad), Variable(weight, Requires::kGrad),
                         with_bias ? Variable(bias, Requires::kGrad) : Variable()};
      const Inputs exact = {Variable(x.to(kF64), Requires::kGrad), Variable(weight.to(kF64), Requires::kGrad),
                            with_bias ? Variable(bias.to(kF64), Requires::kGrad) : Variable()};
      const Variable y = linear(in[0], in[1], in[2], DType::kF32), expected = linear(exact[0], exact[1], exact[2]);
      EXPECT_EQ(y.dtype(), DType::kF32);
      EXPECT_CLOSE(y, expected, 2e-6);

      const Tensor dy = random_tensor(y.shape(), 4), rounded = dy.to(DType::kBF16);
      y.backward(dy);
      expected.backward(rounded.to(kF64));
      for (size_t i = 0; i < 2; ++i) { EXPECT_CLOSE(in[i].grad(), exact[i].grad(), 0x1p-8) << "of input " << i; }
      if (!with_bias) { continue; }
      EXPECT_EQ(in[2].grad().dtype(), DType::kF32);
      EXPECT_CLOSE(in[2].grad(), sum(Variable(dy.to(kF64).reshape({-1, N})), {0}), 1e-6) << "the sum of dy in f64";
    }
  }
}

TEST(LinearOp, F32ResultKeepsWhatRoundingWouldLose) {
  const Variable ones(Here::full({1, 257}, 1, DType::kBF16));
  EXPECT_EQ(linear(ones, ones, {}, DType::kF32).value().item<double>(), 257);
  EXPECT_EQ(linear(ones, ones, {}, DType::kBF16).value().item<double>(), 256);
  EXPECT_SAME(linear(Variable(Here::zeros({2, 0}, DType::kBF16)), Variable(Here::zeros({3, 0}, DType::kBF16)),
                     Variable(Here::full({3}, 0.1)), DType::kF32),
              Here::full({2, 3}, 0.1));
}

TEST(LinearOp, OtherResultTypesAreRefused) {
  const auto result = [](DType of_x, DType bias, DType asked) {
    return [=] {
      linear(Variable(Here::zeros({2, 5}, of_x)), Variable(Here::zeros({4, 5}, of_x)), Variable(Here::zeros({4}, bias)),
             asked);
    };
  };
  const auto refused = [](const std::string& asked, const std::string& x) {
    return "linear: the result is of x's type, or f32 where x is bf16; asked for " + asked + " of x (2, 5) " + x;
  };
  expect_error<DTypeError>(result(DType::kF32, DType::kBF16, DType::kBF16), refused("bf16", "f32"));
  expect_error<DTypeError>(result(DType::kBF16, DType::kF64, DType::kF64), refused("f64", "bf16"));
  expect_error<DTypeError>(result(DType::kF64, DType::kF32, DType::kF32), refused("f32", "f64"));
  expect_error<DTypeError>(result(DType::kBF16, DType::kBF16, DType::kF32), "linear: bias must be f32, got (4,) bf16");
}

TEST(LinearOp, EmptyBatch) {
  const Variable weight = random_leaf({4, 5}, 2);
  const Variable y = linear(Variable(Here::zeros({0, 5})), weight, {});
  EXPECT_EQ(y.shape(), Shape({0, 4}));
  sum(y).backward();
  EXPECT_SAME(weight.grad(), Here::zeros({4, 5}));
}

TEST(CudaMatmul, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("matmul", {{"a", {2, 3}}, {"b", {3, 2}}},
                    [](const Tensors& t) { matmul(Variable(t[0]), Variable(t[1])); });
  expect_one_device("matmul_into", {{"a", {2, 3}}, {"b", {3, 2}}, {"c", {2, 2}}}, [](const Tensors& t) {
    Tensor c = t[2];
    matmul_into(t[0], t[1], c);
  });
  expect_one_device("linear", {{"x", {2, 3}}, {"weight", {4, 3}}, {"bias", {4}}},
                    [](const Tensors& t) { linear(Variable(t[0]), Variable(t[1]), Variable(t[2])); });
  expect_one_device("linear_gelu", {{"x", {2, 3}}, {"weight", {4, 3}}, {"bias", {4}}},
                    [](const Tensors& t) { linear_gelu(t[0], t[1], t[2], nullptr); });
}

}  // namespace
}  // namespace terrace
