#include "autograd/ops/softmax.h"

#include <cmath>
#include <limits>

#include "tensor/pointwise.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr DType kF64 = DType::kF64;

// The maximum is a constant here: its gradients cancel, in f32 only nearly.
Variable composite_softmax(const Variable& x, int64_t dim) {
  const Variable e = exp(x - max(x, {dim}, KeepDim::kYes).detach());
  return e / sum(e, {dim}, KeepDim::kYes);
}

Variable composite_log_softmax(const Variable& x, int64_t dim) {
  const Variable shifted = x - max(x, {dim}, KeepDim::kYes).detach();
  return shifted - log(sum(exp(shifted), {dim}, KeepDim::kYes));
}

Function along(Variable (*op)(const Variable&, int64_t), int64_t dim) {
  return [=](const std::vector<Variable>& in) { return op(in[0], dim); };
}

TEST(Softmax, EqualsPlainOpsAtAwkwardShapes) {
  // Tolerance: a few roundings and the error of exp, about sqrt(row length) eps.
  for (const Shape& shape :
       {Shape{1}, Shape{7}, Shape{2, 1}, Shape{3, 31}, Shape{2, 3, 33}, Shape{5, 129}, Shape{2, 5000}}) {
    const std::vector<Variable> x{random_leaf(shape, 1, -4, 4)};
    expect_matches(along(softmax, -1), along(composite_softmax, -1), x, 2e-6, 5e-6);
    expect_matches(along(log_softmax, -1), along(composite_log_softmax, -1), x, 2e-6, 5e-6);
  }
}

TEST(Softmax, AnyDimension) {
  const std::vector<Variable> x{random_leaf({3, 4, 5}, 2, -3, 3, kF64)};
  for (const int64_t dim : {0, 1, 2, -3}) {
    expect_matches(along(softmax, dim), along(composite_softmax, dim), x, 1e-14, 1e-13);
    expect_matches(along(log_softmax, dim), along(composite_log_softmax, dim), x, 1e-14, 1e-13);
  }
}

TEST(Softmax, Gradcheck) {
  const std::vector<Variable> x{random_leaf({3, 7}, 3, -2, 2, kF64)};
  expect_gradcheck("softmax", along(softmax, -1), x);
  expect_gradcheck("softmax dim 0", along(softmax, 0), x);
  expect_gradcheck("log_softmax", along(log_softmax, -1), x);
}

TEST(Softmax, EmptyAndStridedInputs) {
  EXPECT_EQ(softmax(Variable(Here::zeros({0, 4}))).shape(), (Shape{0, 4}));
  EXPECT_EQ(softmax(Variable(Here::zeros({4, 0}))).shape(), (Shape{4, 0}));
  const Tensor x = random_tensor({6, 8}, 4);
  EXPECT_SAME(softmax(Variable(x.transpose(0, 1))).value(), softmax(Variable(x.transpose(0, 1).clone())).value());
}

TEST(Softmax, MaskedEntriesAreExactlyZero) {
  const Variable x(Here::from<float>({-INFINITY, 1.0f, -INFINITY, 1.0f}, {1, 4}), Requires::kGrad);
  EXPECT_SAME(softmax(x).value(), Here::from<float>({0, 0.5f, 0, 0.5f}, {1, 4}));
  EXPECT_EQ(log_softmax(x).value().to_vector<double>()[0], -kInf);
  const Tensor dx = grad({softmax(x)}, {x}, {random_tensor({1, 4}, 5)})[0];
  EXPECT_EQ(dx.to_vector<double>()[0], 0);
  EXPECT_EQ(dx.to_vector<double>()[2], 0);
}

TEST(Softmax, HopelessRowsAreNanAndTheirNeighboursAreNot) {
  const float nan = std::nanf("");
  for (const auto& bad : {std::vector<float>{-INFINITY, -INFINITY, -INFINITY}, {0, INFINITY, 0}, {0, nan, 0}}) {
    std::vector<float> values = bad;
    values.insert(values.end(), {1, 2, 3});
    for (const auto op : {&softmax, &log_softmax}) {
      const std::vector<double> y = op(Variable(Here::from(values, {2, 3})), -1).value().to_vector<double>();
      for (int i = 0; i < 3; ++i) { EXPECT_TRUE(std::isnan(y[i])) << i; }
      for (int i = 3; i < 6; ++i) { EXPECT_TRUE(std::isfinite(y[i])) << i; }
    }
  }
}

TEST(Softmax, LargeOffsetsCancel) {
  const Tensor x = random_tensor({4, 33}, 6, -8, 8, kF64);
  const Tensor near = add_scalar(x.to(DType::kF32), 1024.0).to(kF64);  // rounds x: the oracle sees the rounded one
  EXPECT_CLOSE(log_softmax(Variable(near.to(DType::kF32))).value().to(kF64), log_softmax(Variable(near)), 1e-6);
}

TEST(Softmax, ThreadsDoNotMatter) {
  expect_independent_of_threads(along(softmax, -1), {random_leaf({129, 333}, 7)});
  expect_independent_of_threads(along(log_softmax, -1), {random_leaf({129, 333}, 8)});
}

TEST(Softmax, ResultsBeyondTheCacheAreStreamedAndEqual) {
  // 52 MB, above the size from which kernels write past the cache; a few rows alone are below it.
  const Tensor x = random_tensor({3200, 4096}, 10, -4, 4);
  const Tensor y = softmax(Variable(x)).value();
  for (const int64_t row : {0, 1599, 1600, 3199}) {
    EXPECT_CLOSE(y.slice(0, row, row + 1), softmax(Variable(x.slice(0, row, row + 1))), 1e-6);
  }
}

TEST(Softmax, BFloat16) {
  expect_bf16_matches(along(softmax, -1), {random_leaf({5, 33}, 9, -3, 3)});
  expect_bf16_matches(along(log_softmax, -1), {random_leaf({5, 33}, 9, -3, 3)});
}

TEST(Softmax, BadInput) {
  expect_error<IndexError>([] { softmax(Variable(Here::zeros({2, 3})), 2); }, "softmax");
  expect_error<IndexError>([] { log_softmax(Variable(Here::scalar(1))); }, "log_softmax");
  expect_error<DTypeError>([] { softmax(Variable(Here::zeros({2}, DType::kI64))); }, "softmax");
}

}  // namespace
}  // namespace terrace
