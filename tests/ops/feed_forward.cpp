#include "autograd/ops/feed_forward.h"

#include "tests/cuda/one_device.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Variable fused(const std::vector<Variable>& in) { return feed_forward(in[0], in[1], in[2], in[3], in[4]); }
Variable composite(const std::vector<Variable>& in) {
  return linear(gelu_tanh(linear(in[0], in[1], in[2])), in[3], in[4]);
}
Variable fused_without_bias(const std::vector<Variable>& in) { return feed_forward(in[0], in[1], {}, in[2], {}); }
Variable composite_without_bias(const std::vector<Variable>& in) {
  return linear(gelu_tanh(linear(in[0], in[1])), in[2]);
}

/// x, weight1, bias1, weight2, bias2.
std::vector<Variable> inputs(const Shape& x, int64_t hidden, int64_t out, DType dtype) {
  return {random_leaf(x, 1, -1, 1, dtype), random_leaf({hidden, x.back()}, 2, -1, 1, dtype),
          random_leaf({hidden}, 3, -1, 1, dtype), random_leaf({out, hidden}, 4, -1, 1, dtype),
          random_leaf({out}, 5, -1, 1, dtype)};
}
std::vector<Variable> without_bias(const std::vector<Variable>& all) { return {all[0], all[1], all[3]}; }

TEST(FeedForwardOp, EqualsPlainOps) {
  for (const Shape& shape : {Shape{1}, Shape{2, 7}, Shape{3, 5, 33}, Shape{2, 129, 31}}) {
    for (const int64_t hidden : {1, 7, 65}) {
      for (const DType dtype : {DType::kF32, kF64}) {
        const std::vector<Variable> in = inputs(shape, hidden, 9, dtype);
        expect_matches(fused, composite, in, 0, 0);
        expect_matches(fused_without_bias, composite_without_bias, without_bias(in), 0, 0);
      }
    }
  }
}

TEST(FeedForwardOp, Gradcheck) {
  expect_gradcheck("feed_forward", fused, inputs({2, 3, 4}, 5, 3, kF64));
  expect_gradcheck("feed_forward", fused_without_bias, without_bias(inputs({3, 4}, 5, 2, kF64)));
}

TEST(FeedForwardOp, GradientsOnlyWhereNeeded) {
  const std::vector<Variable> in = inputs({3, 4}, 5, 2, kF64);
  const Tensor cotangent = random_tensor({3, 2}, 9, -1, 1, kF64);
  const std::vector<Tensor> all = grad({composite(in)}, in, {cotangent});
  for (size_t only = 0; only < in.size(); ++only) {
    std::vector<Variable> one;
    for (size_t i = 0; i < in.size(); ++i) {
      one.emplace_back(in[i].value(), i == only ? Requires::kGrad : Requires::kNothing);
    }
    EXPECT_CLOSE(grad({fused(one)}, {one[only]}, {cotangent})[0], all[only], 1e-15) << only;
  }
  const NoGrad no_grad;
  EXPECT_FALSE(fused(in).requires_grad());
  EXPECT_CLOSE(fused(in), composite(in), 0);
}

TEST(FeedForwardOp, EmptyExtents) {
  const std::vector<Variable> none = inputs({0, 4}, 5, 2, kF64);
  EXPECT_EQ(fused(none).shape(), (Shape{0, 2}));
  EXPECT_SAME(gradients_of(fused, none)[1], Here::zeros({5, 4}, kF64));
  EXPECT_SAME(gradients_of(fused, none)[2], Here::zeros({5}, kF64));
  const std::vector<Variable> no_hidden = inputs({3, 4}, 0, 2, kF64);
  expect_matches(fused, composite, no_hidden, 0, 0);
}

TEST(FeedForwardOp, BFloat16) { expect_bf16_matches(fused, inputs({2, 6, 33}, 40, 7, DType::kF32), 1.5e-2); }

TEST(FeedForwardOp, BadInput) {
  const Variable x(Here::zeros({2, 4})), w1(Here::zeros({5, 4})), w2(Here::zeros({3, 5}));
  expect_error<ShapeError>([&] { feed_forward(x, w2, {}, w1, {}); },
                           "linear_gelu: x must end in K = 5 for weight (N, K) = (3, 5), got (2, 4) f32");
  expect_error<ShapeError>([&] { feed_forward(x, w1, {}, w1, {}); }, "linear: x must end in K = 4");
  expect_error<ShapeError>([&] { feed_forward(x, w1, Variable(Here::zeros({4})), w2, {}); }, "linear_gelu: bias");
  expect_error<DTypeError>([&] { feed_forward(x, Variable(Here::zeros({5, 4}, kF64)), {}, w2, {}); }, "linear_gelu");
}

TEST(CudaFeedForward, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("feed_forward",
                    {{"x", {2, 3}}, {"weight1", {4, 3}}, {"bias1", {4}}, {"weight2", {3, 4}}, {"bias2", {3}}},
                    [](const Tensors& t) {
                      feed_forward(Variable(t[0]), Variable(t[1]), Variable(t[2]), Variable(t[3]), Variable(t[4]));
                    });
}

}  // namespace
}  // namespace terrace
