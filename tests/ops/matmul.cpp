#include "autograd/functions.h"
#include "autograd/gradcheck.h"
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
  for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(single[i], exact[i], 5e-6) << i;
}

TEST(LinearOp, GradientsOnlyWhereNeeded) {
  const Variable x(random_tensor({2, 5}, 1)), weight = random_leaf({4, 5}, 2);
  sum(linear(x, weight, {})).backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(x.grad().defined());
}

TEST(LinearOp, EmptyBatch) {
  const Variable weight = random_leaf({4, 5}, 2);
  const Variable y = linear(Variable(Here::zeros({0, 5})), weight, {});
  EXPECT_EQ(y.shape(), Shape({0, 4}));
  sum(y).backward();
  EXPECT_SAME(weight.grad(), Here::zeros({4, 5}));
}

}  // namespace
}  // namespace terrace
