#include "autograd/ops/group_norm.h"

#include <cmath>

#include "tensor/pointwise.h"
#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Variable composite(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps) {
  const Variable rows = reshape(x, {x.dim(0), groups, -1});
  const Variable centred = rows - mean(rows, {2}, KeepDim::kYes);
  const Variable unit = centred / sqrt(add_scalar(mean(square(centred), {2}, KeepDim::kYes), eps));
  Shape channels(std::vector<int64_t>(static_cast<size_t>(x.ndim()), 1));
  channels[1] = x.dim(1);
  return reshape(unit, x.shape()) * reshape(weight, channels) + reshape(bias, channels);
}

Function plain(int64_t groups) {
  return [=](const std::vector<Variable>& in) { return group_norm(in[0], groups, in[1], in[2], 1e-6); };
}
Function with_silu(int64_t groups) {
  return [=](const std::vector<Variable>& in) { return group_norm_silu(in[0], groups, in[1], in[2], 1e-6); };
}
Function composite_plain(int64_t groups) {
  return [=](const std::vector<Variable>& in) { return composite(in[0], groups, in[1], in[2], 1e-6); };
}
Function composite_silu(int64_t groups) {
  return [=](const std::vector<Variable>& in) { return silu(composite(in[0], groups, in[1], in[2], 1e-6)); };
}

std::vector<Variable> inputs(const Shape& shape, DType dtype) {
  return {random_leaf(shape, 1, -1, 1, dtype), random_leaf({shape[1]}, 2, 0.5, 1.5, dtype),
          random_leaf({shape[1]}, 3, -1, 1, dtype)};
}

TEST(GroupNorm, EqualsPlainOps) {
  const std::vector<std::pair<Shape, int64_t>> cases{
      {{2, 4, 7}, 2}, {{1, 6, 3, 3}, 6}, {{2, 6, 5, 31}, 3}, {{3, 8, 2, 2}, 1}, {{2, 32, 1, 2}, 32}};
  for (const auto& [shape, groups] : cases) {
    expect_matches(plain(groups), composite_plain(groups), inputs(shape, kF64), 1e-12, 1e-9);
    expect_matches(with_silu(groups), composite_silu(groups), inputs(shape, kF64), 1e-12, 1e-9);
  }
  expect_matches(plain(4), composite_plain(4), inputs({3, 16, 9, 9}, DType::kF32), 3e-6, 2e-5);
  expect_matches(with_silu(4), composite_silu(4), inputs({3, 16, 9, 9}, DType::kF32), 3e-6, 2e-5);
}

TEST(GroupNorm, WithoutParameters) {
  const Variable ones(Here::full({4}, 1, kF64)), zeros(Here::zeros({4}, kF64));
  expect_matches([](const auto& in) { return group_norm(in[0], 2, {}, {}, 1e-6); },
                 [&](const auto& in) { return composite(in[0], 2, ones, zeros, 1e-6); },
                 {random_leaf({2, 4, 5}, 1, -1, 1, kF64)}, 1e-13, 1e-11);
}

TEST(GroupNorm, Gradcheck) {
  expect_gradcheck("group_norm", plain(2), inputs({2, 4, 3}, kF64));
  expect_gradcheck("group_norm_silu", with_silu(2), inputs({2, 4, 3}, kF64));
}

TEST(GroupNorm, LargeOffsetCostsNoAccuracy) {
  const std::vector<Variable> in = inputs({2, 8, 16, 16}, DType::kF32);
  const Tensor x = add_scalar(in[0].value(), 1000);
  const auto in_f64 = [](const Variable& v) { return Variable(v.value().to(kF64)); };
  EXPECT_NEAR_TENSOR(group_norm(Variable(x), 4, in[1], in[2], 1e-6).value().to(kF64),
                     group_norm(Variable(x.to(kF64)), 4, in_f64(in[1]), in_f64(in[2]), 1e-6), 4e-4);
}

TEST(GroupNorm, NanStaysInItsGroup) {
  Tensor x = random_tensor({1, 4, 3}, 5);
  x.select(1, 0).fill_(NAN);
  const std::vector<double> y = group_norm(Variable(x), 2, {}, {}, 1e-6).value().to_vector<double>();
  EXPECT_TRUE(std::isnan(y[5]));
  EXPECT_TRUE(std::isfinite(y[6]));
}

TEST(GroupNorm, EmptyInput) {
  const std::vector<Variable> none = inputs({0, 4, 3}, kF64);
  EXPECT_EQ(plain(2)(none).shape(), (Shape{0, 4, 3}));
  EXPECT_SAME(gradients_of(plain(2), none)[1], Here::zeros({4}, kF64));
}

TEST(GroupNorm, ThreadsDoNotMatter) {
  expect_independent_of_threads(with_silu(8), inputs({3, 32, 17, 17}, DType::kF32));
}

TEST(GroupNorm, BFloat16) {
  expect_bf16_matches(plain(2), inputs({2, 4, 5, 5}, DType::kF32), 1.5e-2);
  expect_bf16_matches(with_silu(2), inputs({2, 4, 5, 5}, DType::kF32), 1.5e-2);
}

TEST(GroupNorm, BadInput) {
  const Variable x(Here::zeros({2, 6, 3})), w(Here::zeros({6}));
  expect_error<ShapeError>([&] { group_norm(x, 4, w, w, 1e-6); }, "groups=4, got C=6");
  expect_error<ShapeError>([&] { group_norm(x, 0, w, w, 1e-6); }, "groups=0");
  expect_error<ShapeError>([&] { group_norm_silu(x, 2, Variable(Here::zeros({2})), w, 1e-6); },
                           "group_norm_silu: weight must be (C)=(6,)");
  expect_error<ShapeError>([&] { group_norm(Variable(Here::zeros({6})), 2, w, w, 1e-6); }, "(N, C, ...)");
  expect_error<DTypeError>([&] { group_norm(x, 2, w, Variable(Here::zeros({6}, kF64)), 1e-6); }, "bias must be f32");
}

TEST(CudaGroupNorm, AsOnTheCpu) {
  const auto expect = [](int64_t groups, const Shape& x) {
    const Shape channels{x[1]};
    expect_parity([=](const std::vector<Variable>& in) { return group_norm(in[0], groups, in[1], in[2], 1e-6); },
                  {x, channels, channels});
    expect_parity([=](const std::vector<Variable>& in) { return group_norm_silu(in[0], groups, in[1], in[2], 1e-6); },
                  {x, channels, channels});
  };
  expect(3, {2, 6, 1, 5});
  expect(2, {1, 70, 3, 3});    // more channels in a group than lanes in a warp
  expect(2, {2, 4, 16, 16});   // whole packs
  expect(1, {1, 2, 101, 83});  // more elements than a shard, and than a chunk of a plane
}

TEST(CudaGroupNorm, FarOffset) {
  const Tensor x = random_tensor({1, 2, 128, 132}, 1, 1000, 1001);
  const auto norm = [](const Tensor& t) { return group_norm(Variable(t), 1, {}, {}, 1e-6).value().to(kCpu); };
  // An f32 sum of numbers near 1000, over 0.3.
  EXPECT_CLOSE(norm(x.to(executor_device())), norm(x.to(DType::kF64)), 2e-3);
}

TEST(CudaGroupNorm, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("group_norm", {{"x", {1, 4, 2}}, {"weight", {4}}, {"bias", {4}}},
                    [](const Tensors& t) { group_norm(Variable(t[0]), 2, Variable(t[1]), Variable(t[2]), 1e-6); });
  expect_one_device("group_norm_silu", {{"x", {1, 4, 2}}, {"weight", {4}}, {"bias", {4}}},
                    [](const Tensors& t) { group_norm_silu(Variable(t[0]), 2, Variable(t[1]), Variable(t[2]), 1e-6); });
}

}  // namespace
}  // namespace terrace
