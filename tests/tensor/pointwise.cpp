// Pointwise functions of tensors: every formula of the two lists, against its own struct in double.
#include "tensor/pointwise.h"

#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Pointwise, EveryUnaryFunctionInEveryType) {
  for_each_op<UnaryOps>([](auto op) {
    using Op = decltype(op);
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{2, 7}, Shape{31, 33}, Shape{3, 129}}) {
      const Tensor x = random_tensor(shape, 1, Op::kRange.low, Op::kRange.high);
      const Tensor dy = random_tensor(shape, 2);
      std::vector<double> y, dx;
      const std::vector<double> xs = x.to_vector<double>(), dys = dy.to_vector<double>();
      for (size_t i = 0; i < xs.size(); ++i) {
        y.push_back(op.f(xs[i]));
        dx.push_back(dys[i] * op.df(xs[i], y[i]));
      }
      const Tensor expected = Tensor::from(y, shape), expected_dx = Tensor::from(dx, shape);
      EXPECT_CLOSE(apply(op, x), expected, 1e-6) << Op::kName << shape;
      EXPECT_CLOSE(apply(op, x.to(DType::kF64)), expected, 1e-14) << Op::kName << shape;
      EXPECT_CLOSE(apply(op, x.to(DType::kBF16)), expected, 3e-2) << Op::kName << shape;
      EXPECT_CLOSE(apply_backward(op, x, apply(op, x), dy), expected_dx, 2e-6) << Op::kName << shape;
    }
  });
}

TEST(Pointwise, EveryBinaryFunctionBroadcasts) {
  for_each_op<BinaryOps>([](auto op) {
    using Op = decltype(op);
    const Tensor a = random_tensor({2, 1, 31}, 3, Op::kRange.low, Op::kRange.high);
    const Tensor b = random_tensor({7, 1}, 4, Op::kRange.low, Op::kRange.high);
    const std::vector<double> as = a.to_vector<double>(), bs = b.to_vector<double>();
    std::vector<double> y;
    for (size_t i = 0; i < 2; ++i) {
      for (size_t j = 0; j < 7; ++j) {
        for (size_t k = 0; k < 31; ++k) y.push_back(op.f(as[i * 31 + k], bs[j]));
      }
    }
    const Tensor expected = Tensor::from(y, {2, 7, 31});
    EXPECT_CLOSE(apply(op, a, b), expected, 1e-6) << Op::kName;
    EXPECT_CLOSE(apply(op, a.to(DType::kF64), b.to(DType::kF64)), expected, 1e-14) << Op::kName;
    EXPECT_EQ(apply(op, a, a).shape(), a.shape()) << Op::kName;
    EXPECT_EQ(apply(op, Tensor::zeros({0, 3}), Tensor::zeros({1, 1})).shape(), Shape({0, 3})) << Op::kName;
    expect_error<ShapeError>([&] { apply(op, a, Tensor::zeros({3})); }, Op::kName);
    expect_error<DTypeError>([&] { apply(op, a, b.to(DType::kF64)); }, Op::kName);
  });
}

TEST(Pointwise, ViewsComputeLikeTheirCopies) {
  const Tensor x = random_tensor({31, 9, 33}, 5, 0.5, 2), y = random_tensor({33, 9, 31}, 6, 0.5, 2);
  EXPECT_SAME(apply(Exp{}, x.transpose(0, 2)), apply(Exp{}, x.transpose(0, 2).contiguous()));
  EXPECT_SAME(add(x.transpose(0, 2), y), add(x.transpose(0, 2).contiguous(), y));
  EXPECT_SAME(mul(x.slice(1, 0, 9, 2), x.slice(1, 4, 9)),
              mul(x.slice(1, 0, 9, 2).contiguous(), x.slice(1, 4, 9).contiguous()));
}

TEST(Pointwise, InPlaceWritesAndCounts) {
  Tensor x = random_tensor({7, 31}, 7);
  const Tensor before = x.clone(), y = random_tensor({31}, 8);
  const uint64_t version = x.version();
  add_(x, y, -2);
  EXPECT_GT(x.version(), version);
  EXPECT_CLOSE(x, add(before, scale(y, -2)), 1e-6);
  scale_(x, 0.5);
  EXPECT_CLOSE(x, scale(add(before, scale(y, -2)), 0.5), 1e-6);
  expect_error<ShapeError>([&] { add_(x, random_tensor({8, 7, 31}, 9)); }, "add_");
  Tensor column = x.select(1, 3);
  const Tensor rest = x.slice(1, 4, 31).clone();
  scale_(column, 0);
  EXPECT_EQ(column.to_vector<float>(), std::vector<float>(7, 0));
  EXPECT_SAME(x.slice(1, 4, 31), rest);
}

TEST(Pointwise, NaNAndInfinityPropagate) {
  const float nan = std::nanf(""), inf = INFINITY;
  const Tensor x = Tensor::from(std::vector<float>{nan, inf, -inf, 0}, {4});
  EXPECT_TRUE(std::isnan(apply(Relu{}, x).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Clamp{}, x).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Maximum{}, x, Tensor::zeros({4})).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(apply(Minimum{}, Tensor::zeros({4}), x).to_vector<float>()[0]));
  EXPECT_EQ(apply(Sigmoid{}, x).to_vector<float>()[1], 1);
  EXPECT_EQ(apply(Sigmoid{}, x).to_vector<float>()[2], 0);
  EXPECT_EQ(apply(Exp{}, x).to_vector<float>()[2], 0);
}

}  // namespace
}  // namespace terrace
