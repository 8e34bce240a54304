#include "autograd/ops/layer_norm.h"

#include <cmath>

#include "tensor/pointwise.h"
#include "tests/cuda/one_device.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Variable normalized(const Variable& x, double eps) {
  const Variable centred = x - mean(x, {-1}, KeepDim::kYes);
  return centred / sqrt(add_scalar(mean(square(centred), {-1}, KeepDim::kYes), eps));
}

Function plain(double eps) {
  return [=](const std::vector<Variable>& in) { return layer_norm(in[0], eps); };
}
Function affine(double eps) {
  return [=](const std::vector<Variable>& in) { return layer_norm(in[0], eps, in[1], in[2]); };
}
Function modulated(double eps) {
  return [=](const std::vector<Variable>& in) { return layer_norm_modulate(in[0], in[1], in[2], eps); };
}
Function composite_affine(double eps) {
  return [=](const std::vector<Variable>& in) { return normalized(in[0], eps) * in[1] + in[2]; };
}
Function composite_modulated(double eps) {
  return [=](const std::vector<Variable>& in) { return normalized(in[0], eps) * add_scalar(in[1], 1) + in[2]; };
}

std::vector<Variable> affine_inputs(const Shape& shape, DType dtype) {
  const Shape channels{shape.back()};
  return {random_leaf(shape, 1, -1, 1, dtype), random_leaf(channels, 2, 0.5, 1.5, dtype),
          random_leaf(channels, 3, -1, 1, dtype)};
}

std::vector<Variable> modulated_inputs(const Shape& x, int64_t scale_samples, int64_t shift_samples, DType dtype) {
  return {random_leaf(x, 1, -1, 1, dtype), random_leaf({scale_samples, 1, x.back()}, 2, -1, 1, dtype),
          random_leaf({shift_samples, 1, x.back()}, 3, -1, 1, dtype)};
}

TEST(LayerNorm, EqualsPlainOpsAtAwkwardShapes) {
  for (const Shape& shape : {Shape{7}, Shape{2, 2}, Shape{3, 31}, Shape{2, 3, 33}, Shape{130, 129}, Shape{65, 2050}}) {
    const std::vector<Variable> in = affine_inputs(shape, kF64);
    expect_matches(
        plain(1e-6), [](const auto& v) { return normalized(v[0], 1e-6); }, {in[0]}, 1e-13, 1e-11);
    expect_matches(affine(1e-5), composite_affine(1e-5), in, 1e-13, 1e-11);
    // f32: gradients of the parameters sum up to 130 rows.
    expect_matches(affine(1e-5), composite_affine(1e-5), affine_inputs(shape, DType::kF32), 3e-6, 2e-5);
  }
}

TEST(LayerNorm, WeightOrBiasAlone) {
  const std::vector<Variable> in = affine_inputs({4, 9}, kF64);
  expect_matches([](const auto& v) { return layer_norm(v[0], 1e-6, v[1]); },
                 [](const auto& v) { return normalized(v[0], 1e-6) * v[1]; }, {in[0], in[1]}, 1e-13, 1e-12);
  expect_matches([](const auto& v) { return layer_norm(v[0], 1e-6, {}, v[1]); },
                 [](const auto& v) { return normalized(v[0], 1e-6) + v[1]; }, {in[0], in[2]}, 1e-13, 1e-12);
}

TEST(LayerNorm, ModulationEqualsPlainOpsAndBroadcastsEachParameter) {
  const Shape x{3, 70, 33};
  for (const int64_t scale_samples : {1, 3}) {
    for (const int64_t shift_samples : {1, 3}) {
      expect_matches(modulated(1e-6), composite_modulated(1e-6),
                     modulated_inputs(x, scale_samples, shift_samples, kF64), 1e-13, 1e-11);
    }
  }
  expect_matches(modulated(1e-6), composite_modulated(1e-6), modulated_inputs({1, 5, 7}, 1, 1, kF64), 1e-13, 1e-11);
}

TEST(LayerNorm, ModulationBySlicesOfOneTensor) {
  // As the transformer does: scale and shift are views of one (B, 6, C).
  const Variable x = random_leaf({2, 5, 8}, 1, -1, 1, kF64), condition = random_leaf({2, 6, 8}, 2, -1, 1, kF64);
  const auto apply = [](const auto& v) {
    return layer_norm_modulate(v[0], slice(v[1], 1, 2, 3), slice(v[1], 1, 4, 5), 1e-6);
  };
  const auto oracle = [](const auto& v) {
    return normalized(v[0], 1e-6) * add_scalar(slice(v[1], 1, 2, 3), 1) + slice(v[1], 1, 4, 5);
  };
  expect_matches(apply, oracle, {x, condition}, 1e-13, 1e-12);
}

TEST(LayerNorm, Gradcheck) {
  expect_gradcheck("layer_norm", plain(1e-6), {random_leaf({3, 5}, 4, -1, 1, kF64)});
  expect_gradcheck("layer_norm affine", affine(1e-5), affine_inputs({3, 5}, kF64));
  expect_gradcheck("layer_norm_modulate", modulated(1e-6), modulated_inputs({2, 3, 5}, 2, 1, kF64));
}

TEST(LayerNorm, LargeOffsetCostsNoAccuracy) {
  // Mean 1000, spread 1: E[x^2] - E[x]^2 in f32 would have no correct digit of the variance.
  const Tensor x = add_scalar(random_tensor({5, 768}, 5), 1000);
  EXPECT_NEAR_TENSOR(layer_norm(Variable(x), 1e-6).value().to(kF64), layer_norm(Variable(x.to(kF64)), 1e-6), 2e-4);
}

TEST(LayerNorm, ConstantRowsAndNan) {
  EXPECT_SAME(layer_norm(Variable(Here::full({2, 8}, 3.0)), 1e-6).value(), Here::zeros({2, 8}));
  Tensor x = random_tensor({2, 8}, 6);
  x.select(0, 0).slice(0, 3, 4).fill_(NAN);
  const std::vector<double> y = layer_norm(Variable(x), 1e-6).value().to_vector<double>();
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[7]));
  EXPECT_TRUE(std::isfinite(y[8]) && std::isfinite(y[15]));
}

TEST(LayerNorm, EmptyAndStridedInputs) {
  EXPECT_EQ(layer_norm(Variable(Here::zeros({0, 4})), 1e-6).shape(), (Shape{0, 4}));
  EXPECT_EQ(layer_norm(Variable(Here::zeros({2, 0})), 1e-6).shape(), (Shape{2, 0}));
  const std::vector<Variable> none = modulated_inputs({2, 0, 4}, 2, 1, kF64);
  for (const Tensor& g : gradients_of(modulated(1e-6), none)) { EXPECT_SAME(g, Here::zeros(g.shape(), kF64)); }
  const Tensor t = random_tensor({8, 6}, 7).transpose(0, 1);
  EXPECT_SAME(layer_norm(Variable(t), 1e-6).value(), layer_norm(Variable(t.clone()), 1e-6).value());
}

TEST(LayerNorm, ThreadsDoNotMatter) {
  expect_independent_of_threads(affine(1e-5), affine_inputs({333, 129}, DType::kF32));
  expect_independent_of_threads(modulated(1e-6), modulated_inputs({3, 155, 65}, 3, 1, DType::kF32));
}

TEST(LayerNorm, BFloat16) {
  expect_bf16_matches(affine(1e-5), affine_inputs({6, 33}, DType::kF32), 1.5e-2);
  expect_bf16_matches(modulated(1e-6), modulated_inputs({2, 6, 33}, 2, 1, DType::kF32), 1.5e-2);
}

TEST(LayerNorm, BadInput) {
  const Variable x(Here::zeros({2, 3, 8}));
  const auto leaf = [](const Shape& shape, DType dtype = DType::kF32) { return Variable(Here::zeros(shape, dtype)); };
  expect_error<ShapeError>([&] { layer_norm(x, 1e-6, leaf({7})); }, "layer_norm: weight must be (C)=(8,), got (7,)");
  expect_error<ShapeError>([&] { layer_norm(x, 1e-6, leaf({8}), leaf({1, 8})); }, "bias must be");
  expect_error<DTypeError>([&] { layer_norm(x, 1e-6, leaf({8}, kF64)); }, "weight must be f32");
  expect_error<ShapeError>([&] { layer_norm(leaf({}), 1e-6); }, "layer_norm");
  expect_error<DTypeError>([&] { layer_norm(leaf({2}, DType::kI64), 1e-6); }, "layer_norm");
  expect_error<ShapeError>([&] { layer_norm_modulate(x, leaf({3, 1, 8}), leaf({2, 1, 8}), 1e-6); }, "scale must be");
  expect_error<ShapeError>([&] { layer_norm_modulate(x, leaf({2, 1, 8}), leaf({2, 8}), 1e-6); }, "shift must be");
  expect_error<ShapeError>(
      [&] {
        layer_norm_modulate(leaf({2, 8}), leaf({2, 1, 8}), leaf({2, 1, 8}), 1e-6);
      },
      "layer_norm_modulate");
}

TEST(CudaLayerNorm, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("layer_norm", {{"x", {2, 3}}, {"weight", {3}}, {"bias", {3}}},
                    [](const Tensors& t) { layer_norm(Variable(t[0]), 1e-6, Variable(t[1]), Variable(t[2])); });
  expect_one_device(
      "layer_norm_modulate", {{"x", {1, 2, 3}}, {"scale", {1, 1, 3}}, {"shift", {1, 1, 3}}},
      [](const Tensors& t) { layer_norm_modulate(Variable(t[0]), Variable(t[1]), Variable(t[2]), 1e-6); });
}

}  // namespace
}  // namespace terrace
