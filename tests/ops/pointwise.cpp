// Gradients of the pointwise functions, and what they refuse.
#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;
constexpr DType kF64 = DType::kF64;

struct UnaryCase {
  const char* name;
  Variable (*f)(const Variable&);
  double low, high;
};
const UnaryCase kUnary[] = {
    {"exp", exp, -3, 3},
    {"log", log, 0.1, 5},
    {"sqrt", sqrt, 0.1, 5},
    {"square", square, -3, 3},
    {"neg", neg, -3, 3},
    {"abs", abs, 0.1, 3},
    {"tanh", tanh, -3, 3},
    {"sigmoid", sigmoid, -4, 4},
    {"silu", silu, -4, 4},
    {"gelu_tanh", gelu_tanh, -4, 4},
    {"gelu_erf", gelu_erf, -4, 4},
    {"relu", relu, 0.1, 3},
    {"relu below 0", relu, -3, -0.1},
    {"leaky_relu", [](const Variable& x) { return leaky_relu(x, 0.2); }, -3, -0.1},
    {"clamp", [](const Variable& x) { return clamp(x, -0.5, 0.5); }, -0.45, 0.45},
    {"clamp outside", [](const Variable& x) { return clamp(x, -0.5, 0.5); }, 0.6, 2},
    {"clamp_max", [](const Variable& x) { return clamp_max(x, 0.5); }, -3, 0.4},
    {"clamp_min", [](const Variable& x) { return clamp_min(x, 0.5); }, 0.6, 3},
    {"scale", [](const Variable& x) { return scale(x, -1.5); }, -3, 3},
    {"add_scalar", [](const Variable& x) { return add_scalar(x, 2); }, -3, 3},
};

TEST(PointwiseOps, GradcheckOfOneArgument) {
  for (const UnaryCase& c : kUnary) {
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 7}}) {
      gradcheck(c.name, [&](const Inputs& in) { return c.f(in[0]); }, {random_tensor(shape, 1, c.low, c.high, kF64)});
    }
  }
}

struct BinaryCase {
  const char* name;
  Variable (*f)(const Variable&, const Variable&);
};
const BinaryCase kBinary[] = {{"add", add}, {"sub", sub},         {"mul", mul},
                              {"div", div}, {"maximum", maximum}, {"minimum", minimum}};

TEST(PointwiseOps, GradcheckOfTwoArgumentsWithBroadcasting) {
  const std::pair<Shape, Shape> shapes[] = {{{3, 5}, {3, 5}}, {{2, 1, 3}, {4, 1}}, {{}, {7}}, {{2, 3}, {1}}};
  for (const BinaryCase& c : kBinary) {
    for (const auto& [a, b] : shapes) {
      gradcheck(c.name, [&](const Inputs& in) { return c.f(in[0], in[1]); },
                {random_tensor(a, 1, 0.5, 2, kF64), random_tensor(b, 2, 0.5, 2, kF64)});
    }
  }
}

TEST(PointwiseOps, OperatorsAreTheFunctions) {
  const Variable a(random_tensor({3, 2}, 1, 1, 2)), b(random_tensor({2}, 2, 1, 2));
  EXPECT_SAME(a + b, add(a, b));
  EXPECT_SAME(a - b, sub(a, b));
  EXPECT_SAME(a * b, mul(a, b));
  EXPECT_SAME(a / b, div(a, b));
  EXPECT_SAME(a * 2.0, scale(a, 2));
  EXPECT_SAME(-a, neg(a));
}

TEST(PointwiseOps, EqualArgumentsOfMaximumShareTheGradient) {
  const Variable a(Tensor::full({2}, 1), Requires::kGrad), b(Tensor::full({2}, 1), Requires::kGrad);
  sum(maximum(a, b)).backward();
  EXPECT_EQ(a.grad().to_vector<float>(), (std::vector<float>{0.5, 0.5}));
  EXPECT_EQ(b.grad().to_vector<float>(), (std::vector<float>{0.5, 0.5}));
}

TEST(PointwiseOps, Bf16GradientsAreBf16) {
  const Variable a = random_leaf({33}, 1, 0.5, 2, DType::kBF16), b = random_leaf({3, 1}, 2, 0.5, 2, DType::kBF16);
  sum(a * b).backward();
  EXPECT_EQ(a.grad().dtype(), DType::kBF16);
  EXPECT_EQ(b.grad().shape(), Shape({3, 1}));
}

TEST(PointwiseOps, RefuseMixedAndIntegerTypes) {
  const Variable f(Tensor::zeros({2})), d(Tensor::zeros({2}, kF64)), i(Tensor::zeros({2}, DType::kI64));
  expect_error<DTypeError>([&] { f + d; }, "add");
  expect_error<DTypeError>([&] { exp(i); }, "exp");
  expect_error<ShapeError>([&] { f* Variable(Tensor::zeros({3})); }, "mul");
}

}  // namespace
}  // namespace terrace
