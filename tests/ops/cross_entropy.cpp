#include "autograd/ops/cross_entropy.h"

#include <cmath>

#include "tensor/pointwise.h"
#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

constexpr DType kF64 = DType::kF64;

Tensor targets_for(int64_t count, int64_t classes) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back((i * 7 + 3) % classes); }
  return Here::from(values, {count});
}

/// -sum over the classes of the smoothed target distribution times log_softmax.
Variable composite(const Variable& logits, const Tensor& targets, double smoothing) {
  const int64_t classes = logits.dim(-1);
  std::vector<double> weights(static_cast<size_t>(logits.numel()), smoothing / static_cast<double>(classes));
  const std::vector<int64_t> t = targets.to_vector<int64_t>();
  for (size_t i = 0; i < t.size(); ++i) {
    weights[i * static_cast<size_t>(classes) + static_cast<size_t>(t[i])] += 1 - smoothing;
  }
  const Tensor distribution = Here::from(weights, logits.shape()).to(logits.dtype());
  return neg(sum(log_softmax(logits) * Variable(distribution), {-1}));
}

void expect_equals_composite(int64_t count, int64_t classes, double smoothing, double tolerance, DType dtype) {
  const Tensor targets = targets_for(count, classes);
  expect_matches([&](const auto& in) { return cross_entropy(in[0], targets, smoothing); },
                 [&](const auto& in) { return composite(in[0], targets, smoothing); },
                 {random_leaf({count, classes}, 1, -3, 3, dtype)}, tolerance, 5 * tolerance);
}

TEST(CrossEntropy, EqualsPlainOps) {
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    for (const int64_t classes : {1, 2, 7, 33, 129, 4096}) {
      expect_equals_composite(7, classes, smoothing, 1e-12, kF64);
    }
    expect_equals_composite(5, 4099, smoothing, 3e-6, DType::kF32);
  }
}

TEST(CrossEntropy, Gradcheck) {
  const Tensor targets = targets_for(4, 9);
  for (const double smoothing : {0.0, 0.1}) {
    expect_gradcheck("cross_entropy", [&](const auto& in) { return cross_entropy(in[0], targets, smoothing); },
                     {random_leaf({4, 9}, 2, -2, 2, kF64)});
  }
}

TEST(CrossEntropy, KeepsLeadingExtents) {
  const Tensor logits = random_tensor({2, 3, 5}, 3);
  const Tensor targets = targets_for(6, 5);
  const Tensor flat = cross_entropy(Variable(logits.reshape({6, 5})), targets).value();
  EXPECT_SAME(cross_entropy(Variable(logits), targets.reshape({2, 3})).value(), flat.reshape({2, 3}));
  EXPECT_EQ(cross_entropy(Variable(Here::zeros({0, 5})), Here::zeros({0}, DType::kI64)).shape(), (Shape{0}));
}

TEST(CrossEntropy, LargeOffsetsCostNothing) {
  // Logits around 1000: the loss and its gradient depend on differences only, and those are exact.
  const Tensor x = add_scalar(random_tensor({6, 65}, 4, -4, 4), 1000);
  const Tensor targets = targets_for(6, 65);
  const auto loss = [&](const auto& in) { return cross_entropy(in[0], targets, 0.1); };
  const std::vector<Variable> single{Variable(x, Requires::kGrad)}, exact{Variable(x.to(kF64), Requires::kGrad)};
  EXPECT_CLOSE(loss(single).value().to(kF64), loss(exact), 1e-6);
  EXPECT_CLOSE(gradients_of(loss, single)[0].to(kF64), gradients_of(loss, exact)[0], 2e-6);
}

TEST(CrossEntropy, ImpossibleClassesAndNan) {
  const Variable x(Here::from<float>({0, -INFINITY, 0, std::nanf(""), 1, 2}, {2, 3}), Requires::kGrad);
  const std::vector<double> possible = cross_entropy(x, Here::from<int64_t>({0, 0}, {2})).value().to_vector<double>();
  EXPECT_NEAR(possible[0], std::log(2.0), 1e-6);
  EXPECT_TRUE(std::isnan(possible[1]));
  EXPECT_EQ(cross_entropy(x, Here::from<int64_t>({1, 0}, {2})).value().to_vector<double>()[0], INFINITY);
  EXPECT_EQ(cross_entropy(x, Here::from<int64_t>({0, 0}, {2}), 0.1).value().to_vector<double>()[0], INFINITY);
}

TEST(CrossEntropy, ThreadsDoNotMatter) {
  const Tensor targets = targets_for(50, 777);
  expect_independent_of_threads([&](const auto& in) { return cross_entropy(in[0], targets, 0.1); },
                                {random_leaf({50, 777}, 5, -3, 3)});
}

TEST(CrossEntropy, BFloat16GivesF32Losses) {
  const Tensor logits = random_tensor({6, 40}, 6, -3, 3, DType::kBF16);
  const Tensor targets = targets_for(6, 40);
  const Variable half(logits, Requires::kGrad), single(logits.to(DType::kF32), Requires::kGrad);
  const Variable loss = cross_entropy(half, targets);
  EXPECT_EQ(loss.dtype(), DType::kF32);
  EXPECT_CLOSE(loss, cross_entropy(single, targets), 1e-6);
  const Tensor seed = random_tensor({6}, 7);
  EXPECT_CLOSE(grad({loss}, {half}, {seed})[0].to(DType::kF32),
               grad({cross_entropy(single, targets)}, {single}, {seed})[0], 8e-3);
}

TEST(CrossEntropy, BadInput) {
  const Variable x(Here::zeros({2, 5}));
  const Tensor good = Here::zeros({2}, DType::kI64);
  expect_error<ShapeError>([&] { cross_entropy(x, Here::zeros({3}, DType::kI64)); }, "targets must be (2,)");
  expect_error<DTypeError>([&] { cross_entropy(x, Here::zeros({2})); }, "targets");
  expect_error<DTypeError>([&] { cross_entropy(Variable(Here::zeros({2, 5}, DType::kI64)), good); }, "cross_entropy");
  expect_error<ConfigError>([&] { cross_entropy(x, good, 1.5); }, "label_smoothing");
  expect_error<ShapeError>([&] { cross_entropy(Variable(Here::scalar(1)), good); }, "cross_entropy");
  if (!test_device().is_cpu()) {
    return;  // another device's targets are not searched
  }
  expect_error<IndexError>([&] { cross_entropy(x, Here::from<int64_t>({0, 5}, {2})); }, "target 1 is 5");
  expect_error<IndexError>([&] { cross_entropy(x, Here::from<int64_t>({-1, 0}, {2})); }, "target 0 is -1");
}

Tensor classes(int64_t count, int64_t bound) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) { values.push_back((i * i + 3) % bound); }
  return Tensor::from(values, {count});
}

TEST(CudaCrossEntropy, AsOnTheCpu) {
  for (const Shape& shape :
       {Shape{0, 4}, Shape{1, 1}, Shape{3, 31}, Shape{4, 64}, Shape{5, 129}, Shape{2, 4096}, Shape{2, 5001}}) {
    const Tensor targets = classes(shape[0], shape[1]);
    for (const double smoothing : {0.0, 0.1}) {
      expect_parity(
          [&](const std::vector<Variable>& in) {
            return cross_entropy(in[0], targets.to(in[0].value().device()), smoothing);
          },
          {shape}, -9, 9);
    }
  }
}

TEST(CudaCrossEntropy, ExtremeLogits) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> values(3 * 300, -kInf);
  for (size_t i = 0; i < 300; ++i) {
    values[i] = 1e4f + static_cast<float>(i % 7);  // a large common offset
  }
  values[300 + 299] = -50;                               // one class of weight
  const Tensor logits = Tensor::from(values, {3, 300});  // the last row: nothing but -inf
  const Tensor targets = Tensor::from<int64_t>({5, 299, 0}, {3});
  const Tensor expected = cross_entropy(Variable(logits), targets).value();
  const Device device = executor_device();
  const Tensor actual = cross_entropy(Variable(logits.to(device)), targets.to(device)).value().to(kCpu);
  EXPECT_CLOSE(actual.slice(0, 0, 2), expected.slice(0, 0, 2), 1e-6);
  EXPECT_EQ(actual.data<float>()[1], 0);
  EXPECT_TRUE(has_nan(actual.slice(0, 2, 3)) && has_nan(expected.slice(0, 2, 3)));
  // No exception from a device: a target outside the classes is a loss of NaN.
  const Tensor wrong = Tensor::from<int64_t>({-1, 300, 0}, {3}).to(device);
  const Tensor unknown = cross_entropy(Variable(random_tensor({3, 300}, 1).to(device)), wrong).value().to(kCpu);
  EXPECT_TRUE(has_nan(unknown.slice(0, 0, 1)) && has_nan(unknown.slice(0, 1, 2)) && !has_nan(unknown.slice(0, 2, 3)));
}

TEST(CudaCrossEntropy, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("cross_entropy", {{"logits", {3, 5}}, {"targets", {3}, DType::kI64}},
                    [](const Tensors& t) { cross_entropy(Variable(t[0]), t[1]); });
}

}  // namespace
}  // namespace terrace
