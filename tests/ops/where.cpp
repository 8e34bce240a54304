#include "autograd/ops/where.h"

#include <limits>

#include "autograd/gradcheck.h"
#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenWhere, ValueAndGradients) {
  const GoldenCase where_case("where");
  Variable a = where_case.leaf("a"), b = where_case.leaf("b");
  const Variable y = where(where_case.input("cond"), a, b);
  where_case.expect(y, {{"a", a}, {"b", b}});
}

TEST(Where, BroadcastsOnEverySideAndSumsGradientsBack) {
  const Tensor condition = u8({1, 0, 2}, {3, 1});
  Variable a = random_leaf({2, 1, 1}, 1, -1, 1, DType::kF64), b = random_leaf({4}, 2, -1, 1, DType::kF64);
  const Variable y = where(condition, a, b);
  ASSERT_EQ(y.shape(), (Shape{2, 3, 4}));
  const std::vector<double> av = a.value().to_vector<double>(), bv = b.value().to_vector<double>();
  const std::vector<double> yv = y.value().to_vector<double>();
  for (size_t i = 0; i < yv.size(); ++i) { EXPECT_EQ(yv[i], i / 4 % 3 == 1 ? bv[i % 4] : av[i / 12]); }
  gradcheck("where", [&](const std::vector<Variable>& in) { return where(condition, in[0], in[1]); },
            {a.value(), b.value()});
}

TEST(Where, WhatIsNotChosenDoesNotLeak) {
  Variable a(f32({1, kNaN}, {2}), Requires::kGrad), b(f32({kInf, 4}, {2}), Requires::kGrad);
  const Variable y = where(u8({1, 0}, {2}).to(DType::kBool), a, b);
  EXPECT_SAME(y.value(), f32({1, 4}, {2}));
  y.backward(f32({kInf, 3}, {2}));
  EXPECT_SAME(a.grad(), f32({kInf, 0}, {2}));
  EXPECT_SAME(b.grad(), f32({0, 3}, {2}));
}

TEST(Where, SaysWhatIsWrong) {
  const Variable a(Here::zeros({2, 3}));
  expect_error<DTypeError>([&] { where(Here::zeros({2, 3}), a, a); }, "where: condition must be bool or u8");
  expect_error<DTypeError>([&] { where(u8({1}, {1}), a, constant(Here::zeros({2, 3}, DType::kF64))); }, "where");
  expect_error<ShapeError>([&] { where(u8({1, 1}, {2}), a, a); }, "where");
}

TEST(CudaWhere, AsOnTheCpu) {
  for (const Shape& shape : {Shape{0}, Shape{5}, Shape{3, 129}, Shape{16, 64}}) {
    const Tensor condition = indices_below(2, shape).to(DType::kU8);
    expect_parity(
        [&](const std::vector<Variable>& in) { return where(condition.to(in[0].value().device()), in[0], in[1]); },
        {shape, {1}});
  }
}

TEST(CudaWhere, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("where", {{"condition", {3}, DType::kBool}, {"a", {3}}, {"b", {3}}},
                    [](const Tensors& t) { where(t[0], Variable(t[1]), Variable(t[2])); });
}

}  // namespace
}  // namespace terrace
