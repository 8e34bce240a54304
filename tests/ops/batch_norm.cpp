#include "autograd/ops/batch_norm.h"

#include <cmath>

#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

struct Statistics {
  Tensor mean, variance;
  Statistics(int64_t channels, DType dtype)
      : mean(random_tensor({channels}, 4, -1, 1, dtype)), variance(random_tensor({channels}, 5, 0.2, 2, dtype)) {}
};

Function op(const Statistics& s) {
  return
      [=](const std::vector<Variable>& in) { return batch_norm_eval(in[0], s.mean, s.variance, in[1], in[2], 1e-3); };
}

Function composite(const Statistics& s) {
  return [=](const std::vector<Variable>& in) {
    Shape channels(std::vector<int64_t>(static_cast<size_t>(in[0].ndim()), 1));
    channels[1] = in[0].dim(1);
    const auto shaped = [&](const Variable& v) { return reshape(v, channels); };
    const Variable unit = (in[0] - shaped(Variable(s.mean))) / sqrt(add_scalar(shaped(Variable(s.variance)), 1e-3));
    return unit * shaped(in[1]) + shaped(in[2]);
  };
}

std::vector<Variable> inputs(const Shape& shape, DType dtype) {
  return {random_leaf(shape, 1, -1, 1, dtype), random_leaf({shape[1]}, 2, 0.5, 1.5, dtype),
          random_leaf({shape[1]}, 3, -1, 1, dtype)};
}

TEST(BatchNormEval, EqualsPlainOps) {
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 7}, Shape{1, 2, 31, 33}, Shape{129, 3, 2, 1}}) {
    expect_matches(op({shape[1], kF64}), composite({shape[1], kF64}), inputs(shape, kF64), 1e-13, 1e-12);
    const Statistics s(shape[1], DType::kF32);
    expect_matches(op(s), composite(s), inputs(shape, DType::kF32), 1e-6, 1e-5);
  }
}

TEST(BatchNormEval, Gradcheck) { expect_gradcheck("batch_norm_eval", op({3, kF64}), inputs({2, 3, 4}, kF64)); }

TEST(BatchNormEval, WithoutParametersAndEmpty) {
  const Statistics s(3, kF64);
  const Variable x = random_leaf({2, 3, 4}, 1, -1, 1, kF64);
  const Variable ones(Here::full({3}, 1, kF64)), zeros(Here::zeros({3}, kF64));
  EXPECT_SAME(batch_norm_eval(x, s.mean, s.variance, {}, {}, 1e-3).value(), op(s)({x, ones, zeros}).value());
  EXPECT_EQ(op(s)(inputs({0, 3, 4}, kF64)).shape(), (Shape{0, 3, 4}));
}

TEST(BatchNormEval, ThreadsDoNotMatter) {
  expect_independent_of_threads(op({7, DType::kF32}), inputs({9, 7, 31, 33}, DType::kF32));
}

TEST(BatchNormEval, BadInput) {
  const Statistics s(3, DType::kF32);
  const Variable x(Here::zeros({2, 3, 4})), w(Here::zeros({3}));
  expect_error<ShapeError>([&] { batch_norm_eval(x, Here::zeros({4}), s.variance, w, w, 1e-3); },
                           "running_mean must be (C)=(3,)");
  expect_error<ShapeError>([&] { batch_norm_eval(x, s.mean, {}, w, w, 1e-3); }, "running_var");
  expect_error<ShapeError>([&] { batch_norm_eval(x, s.mean, s.variance, w, Variable(Here::zeros({2})), 1e-3); },
                           "bias must be");
  expect_error<ShapeError>([&] { batch_norm_eval(w, s.mean, s.variance, w, w, 1e-3); }, "(N, C, ...)");
  expect_error<DTypeError>([&] { batch_norm_eval(x, s.mean.to(kF64), s.variance, w, w, 1e-3); }, "running_mean");
}

TEST(CudaBatchNorm, AsOnTheCpu) {
  for (const Shape& x : {Shape{2, 3, 1, 5}, Shape{3, 2, 16, 16}, Shape{1, 2, 71, 83}}) {
    expect_parity(
        [&](const std::vector<Variable>& in) {
          const Device device = in[0].value().device();
          const Tensor mean = random_tensor({x[1]}, 5, -1, 1, in[0].dtype()).to(device);
          const Tensor variance = random_tensor({x[1]}, 6, 0.5, 2, in[0].dtype()).to(device);
          return batch_norm_eval(in[0], mean, variance, in[1], in[2], 1e-5);
        },
        {x, {x[1]}, {x[1]}});
  }
}

TEST(CudaBatchNorm, OperandsOfTwoDevicesAreRefused) {
  expect_one_device(
      "batch_norm_eval",
      {{"x", {1, 4, 2}}, {"running_mean", {4}}, {"running_var", {4}}, {"weight", {4}}, {"bias", {4}}},
      [](const Tensors& t) { batch_norm_eval(Variable(t[0]), t[1], t[2], Variable(t[3]), Variable(t[4]), 1e-5); });
}

}  // namespace
}  // namespace terrace
