// Gradients of the pointwise functions, and what they refuse.
#include <cmath>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tensor/device/allocator.h"
#include "tensor/pointwise.h"
#include "tests/cuda/one_device.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;
constexpr DType kF64 = DType::kF64;

TEST(PointwiseOps, GradcheckOfOneArgument) {
  for_each_op<UnaryOps>([](auto op) {
    using Op = decltype(op);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 7}}) {
      gradcheck(Op::kName, [&](const Inputs& in) { return apply(op, in[0]); },
                {random_tensor(shape, 1, Op::kRange.low, Op::kRange.high, kF64)});
    }
  });
}

TEST(PointwiseOps, GradcheckOfTwoArgumentsWithBroadcasting) {
  const std::pair<Shape, Shape> shapes[] = {{{3, 5}, {3, 5}}, {{2, 1, 3}, {4, 1}}, {{}, {7}}, {{2, 3}, {1}}};
  for_each_op<BinaryOps>([&](auto op) {
    using Op = decltype(op);
    for (const auto& [a, b] : shapes) {
      gradcheck(Op::kName, [&](const Inputs& in) { return apply(op, in[0], in[1]); },
                {random_tensor(a, 1, Op::kRange.low, Op::kRange.high, kF64),
                 random_tensor(b, 2, Op::kRange.low, Op::kRange.high, kF64)});
    }
  });
}

/// The public functions by name, with what they compute, and where a branch lies outside the formula's sample range.
struct NamedCase {
  const char* name;
  Variable (*f)(const Variable&);
  double low, high;
};
const NamedCase kNamed[] = {
    {"relu below 0", relu, -3, -0.1},
    {"abs below 0", abs, -3, -0.1},
    {"leaky_relu", [](const Variable& x) { return leaky_relu(x, 0.2); }, -3, -0.1},
    {"leaky_relu above 0", [](const Variable& x) { return leaky_relu(x, 0.2); }, 0.1, 3},
    {"clamp outside", [](const Variable& x) { return clamp(x, -0.5, 0.5); }, 0.6, 2},
    {"clamp_max", [](const Variable& x) { return clamp_max(x, 0.5); }, -3, 0.4},
    {"clamp_min", [](const Variable& x) { return clamp_min(x, 0.5); }, 0.6, 3},
    {"scale", [](const Variable& x) { return scale(x, -1.5); }, -3, 3},
    {"add_scalar", [](const Variable& x) { return add_scalar(x, 2); }, -3, 3},
};

TEST(PointwiseOps, GradcheckOfNamedFunctions) {
  for (const NamedCase& c : kNamed) {
    gradcheck(c.name, [&](const Inputs& in) { return c.f(in[0]); }, {random_tensor({3, 7}, 1, c.low, c.high, kF64)});
  }
  gradcheck("add", [](const Inputs& in) { return add(in[0], in[1]); },
            {random_tensor({3, 1}, 1, -1, 1, kF64), random_tensor({4}, 2, -1, 1, kF64)});
  gradcheck("sub", [](const Inputs& in) { return sub(in[0], in[1]); },
            {random_tensor({3, 1}, 1, -1, 1, kF64), random_tensor({4}, 2, -1, 1, kF64)});
}

TEST(PointwiseOps, NamesStandForTheirFormulas) {
  const Variable x(random_tensor({3, 7}, 1, 0.5, 2)), b(random_tensor({7}, 2, 0.5, 2));
  const std::pair<Variable, Variable> pairs[] = {
      {exp(x), apply(Exp{}, x)},       {log(x), apply(Log{}, x)},
      {sqrt(x), apply(Sqrt{}, x)},     {square(x), apply(Square{}, x)},
      {neg(x), apply(Neg{}, x)},       {abs(x), apply(Abs{}, x)},
      {tanh(x), apply(Tanh{}, x)},     {sigmoid(x), apply(Sigmoid{}, x)},
      {silu(x), apply(Silu{}, x)},     {gelu_tanh(x), apply(GeluTanh{}, x)},
      {relu(x), apply(Relu{}, x)},     {gelu_erf(x), apply(GeluErf{}, x)},
      {add(x, b), apply(Add{}, x, b)}, {sub(x, b), apply(Sub{}, x, b)},
      {mul(x, b), apply(Mul{}, x, b)}, {maximum(x, b), apply(Maximum{}, x, b)},
      {div(x, b), apply(Div{}, x, b)}, {minimum(x, b), apply(Minimum{}, x, b)},
  };
  for (const auto& [named, formula] : pairs) { EXPECT_SAME(named, formula); }
}

/// How many tensors of x's size are alive after f(x, constant) beyond those two: the result, and what its graph keeps.
/// f is given results of other ops, which nothing but the graph can keep.
int64_t tensors_kept(Variable (*f)(const Variable&, const Variable&)) {
  const Variable x = random_leaf({256, 1024}, 1, 0.5, 2), constant(random_tensor({256, 1024}, 2, 0.5, 2));
  const double bytes = static_cast<double>(x.numel()) * sizeof(float);
  const int64_t before = memory_stats(test_device()).live;
  const Variable y = f(scale(x, 1.5), constant);
  return std::llround(static_cast<double>(memory_stats(test_device()).live - before) / bytes);
}

TEST(PointwiseOps, TheGraphKeepsWhatDerivativesRead) {
  using V = const Variable&;
  EXPECT_EQ(tensors_kept([](V x, V) { return exp(x); }), 1) << "the result alone";
  EXPECT_EQ(tensors_kept([](V x, V) { return tanh(x); }), 1);
  EXPECT_EQ(tensors_kept([](V x, V) { return sigmoid(x); }), 1);
  EXPECT_EQ(tensors_kept([](V x, V) { return relu(sqrt(x)); }), 2) << "both results, not sqrt's argument";
  EXPECT_EQ(tensors_kept([](V x, V) { return square(x); }), 2) << "the result and the argument";
  EXPECT_EQ(tensors_kept([](V x, V) { return -(x * 2.0 + 1.0); }), 1) << "nothing of a chain of linear functions";
  EXPECT_EQ(tensors_kept([](V x, V) { return x + scale(x, 2); }), 1);
  EXPECT_EQ(tensors_kept([](V x, V c) { return x - c; }), 1);
  EXPECT_EQ(tensors_kept([](V x, V) { return x * scale(x, 2); }), 3) << "both factors";
  EXPECT_EQ(tensors_kept([](V x, V c) { return x * c; }), 1) << "the constant was there; x is for its gradient only";
  EXPECT_EQ(tensors_kept([](V x, V c) { return x / c; }), 1);
  EXPECT_EQ(tensors_kept([](V x, V c) { return c / x; }), 2);
}

TEST(PointwiseOps, WhatIsNotSavedMayBeWrittenTo) {
  const auto refused = [](const Variable& loss) { expect_error<AutogradError>([&] { loss.backward(); }, "in place"); };
  const Variable x = random_leaf({5}, 1, 0.5, 2), w = random_leaf({5}, 2, 0.5, 2);
  Variable h = scale(x, 2), y = exp(h);
  const Tensor expected = scale(y.value(), 2);
  Variable loss = sum(y);
  h.value().fill_(0);
  loss.backward();
  EXPECT_SAME(x.grad(), expected);
  y = exp(h);
  loss = sum(y);
  y.value().fill_(0);
  refused(loss);

  h = scale(x, 2);
  loss = sum(square(h));
  h.value().fill_(0);
  refused(loss);

  h = scale(x, 2);
  Variable other = scale(w, 2), constant(Here::full({5}, 3));
  loss = sum(h + other);
  h.value().fill_(0);
  other.value().fill_(0);
  Variable(x).zero_grad();
  loss.backward();
  EXPECT_EQ(x.grad().to_vector<float>(), std::vector<float>(5, 2));

  h = scale(x, 2);
  loss = sum(h * constant);
  h.value().fill_(0);
  Variable(x).zero_grad();
  loss.backward();
  EXPECT_EQ(x.grad().to_vector<float>(), std::vector<float>(5, 6));
  loss = sum(scale(x, 2) * constant);
  constant.value().fill_(0);
  refused(loss);
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
  const Variable a(Here::full({2}, 1), Requires::kGrad), b(Here::full({2}, 1), Requires::kGrad);
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
  const Variable f(Here::zeros({2})), d(Here::zeros({2}, kF64)), i(Here::zeros({2}, DType::kI64));
  expect_error<DTypeError>([&] { f + d; }, "add");
  expect_error<DTypeError>([&] { exp(i); }, "exp");
  expect_error<ShapeError>([&] { f* Variable(Here::zeros({3})); }, "mul");
}

TEST(CudaPointwise, OperandsOfTwoDevicesAreRefused) {
  const std::vector<NamedOperand> two = {{"a", {3}}, {"b", {3}}};
  expect_one_device("add", two, [](const Tensors& t) { add(Variable(t[0]), Variable(t[1])); });
  expect_one_device("sub", two, [](const Tensors& t) { sub(Variable(t[0]), Variable(t[1])); });
  expect_one_device("mul", two, [](const Tensors& t) { mul(Variable(t[0]), Variable(t[1])); });
  expect_one_device("div", two, [](const Tensors& t) { div(Variable(t[0]), Variable(t[1])); });
  expect_one_device("maximum", two, [](const Tensors& t) { maximum(Variable(t[0]), Variable(t[1])); });
  expect_one_device("minimum", two, [](const Tensors& t) { minimum(Variable(t[0]), Variable(t[1])); });
  expect_one_device("add", two, [](const Tensors& t) { apply(Add{}, Variable(t[0]), Variable(t[1])); });
  expect_one_device("add_", two, [](const Tensors& t) {
    Tensor a = t[0];
    add_(a, t[1]);
  });
}

}  // namespace
}  // namespace terrace
