#include "autograd/ops/gated_residual.h"

#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Variable fused(const std::vector<Variable>& in) { return gated_residual(in[0], in[1], in[2]); }
Variable composite(const std::vector<Variable>& in) { return in[0] + in[2] * in[1]; }

std::vector<Variable> inputs(const Shape& shape, int64_t gamma_samples, DType dtype) {
  return {random_leaf(shape, 1, -1, 1, dtype), random_leaf(shape, 2, -1, 1, dtype),
          random_leaf({gamma_samples, 1, shape.back()}, 3, -1, 1, dtype)};
}

TEST(GatedResidual, EqualsPlainOps) {
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{2, 7, 31}, Shape{3, 65, 33}, Shape{2, 129, 2}}) {
    for (const int64_t samples : {int64_t{1}, shape[0]}) {
      expect_matches(fused, composite, inputs(shape, samples, kF64), 1e-15, 1e-13);
      expect_matches(fused, composite, inputs(shape, samples, DType::kF32), 2e-7, 5e-6);
    }
  }
}

TEST(GatedResidual, Gradcheck) {
  expect_gradcheck("gated_residual", fused, inputs({2, 3, 4}, 2, kF64));
  expect_gradcheck("gated_residual", fused, inputs({2, 3, 4}, 1, kF64));
}

TEST(GatedResidual, EmptyInput) {
  const std::vector<Variable> none = inputs({2, 0, 3}, 2, kF64);
  EXPECT_EQ(fused(none).shape(), (Shape{2, 0, 3}));
  EXPECT_SAME(gradients_of(fused, none)[2], Here::zeros({2, 1, 3}, kF64));
}

TEST(GatedResidual, ThreadsDoNotMatter) { expect_independent_of_threads(fused, inputs({3, 155, 65}, 3, DType::kF32)); }
TEST(GatedResidual, BFloat16) { expect_bf16_matches(fused, inputs({2, 6, 33}, 2, DType::kF32)); }

TEST(GatedResidual, BadInput) {
  const Variable x(Here::zeros({2, 3, 8})), gamma(Here::zeros({2, 1, 8}));
  expect_error<ShapeError>([&] { gated_residual(x, Variable(Here::zeros({2, 4, 8})), gamma); }, "gated_residual");
  expect_error<ShapeError>([&] { gated_residual(x, x, Variable(Here::zeros({8}))); }, "gamma must be");
  expect_error<ShapeError>([&] { gated_residual(gamma.detach(), gamma, Variable(Here::zeros({3, 1, 8}))); }, "gamma");
  expect_error<DTypeError>([&] { gated_residual(x, Variable(Here::zeros({2, 3, 8}, kF64)), gamma); }, "gated_residual");
}

TEST(CudaGatedResidual, AsOnTheCpu) {
  const Function op = [](const std::vector<Variable>& in) { return gated_residual(in[0], in[1], in[2]); };
  for (const int64_t cols : {1, 33, 64, 1032}) {
    expect_parity(op, {{2, 67, cols}, {2, 67, cols}, {2, 1, cols}});
    expect_parity(op, {{2, 9, cols}, {2, 9, cols}, {1, 1, cols}});
  }
}

TEST(CudaGatedResidual, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("gated_residual", {{"x", {1, 2, 3}}, {"y", {1, 2, 3}}, {"gamma", {1, 1, 3}}},
                    [](const Tensors& t) { gated_residual(Variable(t[0]), Variable(t[1]), Variable(t[2])); });
}

}  // namespace
}  // namespace terrace
