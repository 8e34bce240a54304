#include "autograd/ops/l2_normalize.h"

#include <cmath>

#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Function op(int64_t dim, double eps = 1e-12) {
  return [=](const std::vector<Variable>& in) { return l2_normalize(in[0], dim, eps); };
}
Function composite(int64_t dim, double eps = 1e-12) {
  return [=](const std::vector<Variable>& in) {
    return in[0] / clamp_min(sqrt(sum(square(in[0]), {dim}, KeepDim::kYes)), eps);
  };
}

TEST(L2Normalize, EqualsPlainOps) {
  for (const Shape& shape : {Shape{1}, Shape{2, 7}, Shape{3, 2, 33}, Shape{5, 129}}) {
    expect_matches(op(-1), composite(-1), {random_leaf(shape, 1, -1, 1, kF64)}, 1e-14, 1e-12);
    expect_matches(op(0), composite(0), {random_leaf(shape, 2, -1, 1, kF64)}, 1e-14, 1e-12);
  }
  expect_matches(op(-1), composite(-1), {random_leaf({9, 64}, 3)}, 1e-6, 5e-6);
}

TEST(L2Normalize, ShortVectorsAreDividedByEps) {
  const Variable x(Here::from<double>({0.003, 0.004, 3, 4}, {2, 2}), Requires::kGrad);
  EXPECT_CLOSE(l2_normalize(x, -1, 0.1), Here::from<double>({0.03, 0.04, 0.6, 0.8}, {2, 2}), 1e-14);
  expect_matches(op(-1, 0.1), composite(-1, 0.1), {x}, 1e-14, 1e-13);
}

TEST(L2Normalize, ZeroAndNan) {
  const Variable x(Here::from<float>({0, 0, NAN, 1, 3, 4}, {3, 2}), Requires::kGrad);
  const std::vector<double> y = l2_normalize(x).value().to_vector<double>();
  EXPECT_EQ(y[0], 0);
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
  EXPECT_NEAR(y[4], 0.6, 1e-7);
}

TEST(L2Normalize, Gradcheck) {
  expect_gradcheck("l2_normalize", op(-1), {random_leaf({3, 5}, 4, 0.2, 1, kF64)});
  expect_gradcheck("l2_normalize dim 1", op(1), {random_leaf({2, 3, 4}, 5, 0.2, 1, kF64)});
}

TEST(L2Normalize, EmptyInput) {
  EXPECT_EQ(l2_normalize(Variable(Here::zeros({0, 3}))).shape(), (Shape{0, 3}));
  EXPECT_EQ(l2_normalize(Variable(Here::zeros({3, 0}))).shape(), (Shape{3, 0}));
}

TEST(L2Normalize, ThreadsDoNotMatter) { expect_independent_of_threads(op(-1), {random_leaf({555, 65}, 6)}); }
TEST(L2Normalize, BFloat16) { expect_bf16_matches(op(-1), {random_leaf({5, 33}, 7)}); }

TEST(L2Normalize, BadInput) {
  expect_error<IndexError>([] { l2_normalize(Variable(Here::zeros({2, 3})), 2); }, "l2_normalize");
  expect_error<DTypeError>([] { l2_normalize(Variable(Here::zeros({2}, DType::kI64))); }, "l2_normalize");
}

}  // namespace
}  // namespace terrace
