#include "nn/compute_copies.h"

#include "autograd/functions.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(ComputeCopies, LayersComputeWithThemAndMastersGetTheGradient) {
  Generator g(1);
  const Linear layer(5, 3, Bias::kYes, g);
  const Variable x = random_leaf({4, 5}, 2);
  const Tensor cotangent = random_tensor({4, 3}, 3, -1, 1, DType::kBF16);
  const ComputeCopies copies(layer.named_parameters());
  const Variable f32 = layer(x);
  EXPECT_EQ(f32.dtype(), DType::kF32);

  const Variable narrow_x = random_leaf({4, 5}, 2, -1, 1, DType::kBF16);
  const Variable w(layer.weight.value().to(DType::kBF16), Requires::kGrad);
  const Variable b(layer.bias.value().to(DType::kBF16), Requires::kGrad);
  const Variable expected = linear(narrow_x, w, b);
  const std::vector<Tensor> narrow = grad({expected}, {w, b, narrow_x}, {cotangent});
  {
    const ComputeWith scope(copies);
    const Variable y = layer(x);
    EXPECT_SAME(y, expected);
    const std::vector<Tensor> wide = grad({y}, {layer.weight, layer.bias, x}, {cotangent});
    for (size_t i = 0; i < narrow.size(); ++i) { EXPECT_SAME(wide[i], narrow[i].to(DType::kF32)) << i; }
  }
  EXPECT_SAME(layer(x), f32) << "behind the scope the parameters themselves compute";
}

TEST(ComputeCopies, UnroundedLayersGiveTheSumsOfCopiesInF32) {
  Generator g(1);
  const Linear layer(257, 3, Bias::kYes, g);
  const Variable x = random_leaf({4, 257}, 2);
  EXPECT_SAME(layer.f32_output(x), layer(x)) << "without copies";
  const ComputeCopies copies({{"weight", layer.weight}});
  const ComputeWith scope(copies);
  const Variable y = layer.f32_output(x);
  EXPECT_EQ(y.dtype(), DType::kF32);
  const auto exact = [](const Tensor& t) { return Variable(t.to(DType::kF64)); };
  EXPECT_CLOSE(y, linear(exact(x.value().to(DType::kBF16)), exact(copies.of(layer.weight)), exact(layer.bias.value())),
               2e-6);
  const Tensor dy = random_tensor({4, 3}, 3);
  y.backward(dy);
  EXPECT_SAME(layer.bias.grad(), sum(Variable(dy), {0}).value());
  for (const Variable& leaf : {layer.weight, x}) { EXPECT_EQ(leaf.grad().dtype(), DType::kF32); }
}

TEST(ComputeCopies, ScopesNestAndLeaveOtherParametersAlone) {
  const Variable a = random_leaf({3}, 1), b = random_leaf({3}, 2);
  const ComputeCopies of_a({{"a", a}}), of_b({{"b", b}}), of_nothing;
  EXPECT_EQ(compute_copy(a).impl(), a.impl());
  const ComputeWith outer(of_a);
  {
    const ComputeWith inner(of_b);
    EXPECT_EQ(compute_copy(a).impl(), a.impl());
    EXPECT_EQ(compute_copy(b).dtype(), DType::kBF16);
    const ComputeWith none(of_nothing);
    EXPECT_EQ(compute_copy(b).impl(), b.impl());
  }
  EXPECT_EQ(compute_copy(a).dtype(), DType::kBF16);
  EXPECT_EQ(compute_copy(b).impl(), b.impl());
  EXPECT_FALSE(compute_copy(Variable()).defined());
}

TEST(ComputeCopies, GradientsOfSeveralPassesAddUpInF32) {
  const Variable w(Tensor::full({2}, 1), Requires::kGrad);
  const ComputeCopies copies({{"w", w}});
  const ComputeWith scope(copies);
  // 256 + 1 is 256 in bf16.
  for (const double factor : {256.0, 1.0}) { sum(scale(compute_copy(w), factor)).backward(); }
  EXPECT_SAME(w.grad(), Tensor::full({2}, 257));
}

/// 1 + 2^-12 is 1 in bf16, whose step there is 2^-7: a weight kept in it would never move.
TEST(ComputeCopies, MastersKeepUpdatesThatBf16WouldLose) {
  Variable w(Tensor::full({40}, 1), Requires::kGrad);
  const ComputeCopies copies({{"w", w}});
  AdamW optimizer({ParameterGroup{{{"w", w}}}});
  optimizer.write_copies(copies);
  const double lr = 0x1p-12;  // of a constant gradient AdamW makes steps of lr
  for (int step = 1; step <= 64; ++step) {
    w.set_grad(Tensor::full({40}, -0.5));
    optimizer.step(lr, 0);
    EXPECT_NEAR_TENSOR(w, Tensor::full({40}, 1 + step * lr), 1e-6);
    EXPECT_SAME(copies.of(w), w.value().to(DType::kBF16)) << "step " << step;
  }
  EXPECT_SAME(copies.of(w), Tensor::full({40}, 1 + 0x1p-6, DType::kBF16)) << "what 64 steps add up to is seen";
}

TEST(ComputeCopies, EveryStepMakesThemAnewAtAnyExtent) {
  for (const int64_t n : {0, 1, 7, 33, 5001}) {
    Variable narrow(random_tensor({n}, 1), Requires::kGrad), plain(random_tensor({n}, 1), Requires::kGrad);
    const ComputeCopies copies({{"narrow", narrow}});
    EXPECT_SAME(copies.of(narrow), narrow.value().to(DType::kBF16));
    AdamW optimizer({ParameterGroup{{{"narrow", narrow}, {"plain", plain}}}});
    optimizer.write_copies(copies);
    narrow.set_grad(random_tensor({n}, 2));
    plain.set_grad(random_tensor({n}, 2));
    optimizer.step(0.02, 0.1, 0.5);
    EXPECT_SAME(narrow, plain) << "the copy changes nothing of the step";
    EXPECT_SAME(copies.of(narrow), narrow.value().to(DType::kBF16)) << n;
    EXPECT_FALSE(copies.of(plain).defined());
  }
}

TEST(ComputeCopies, AStepInTheMiddleOfAGraphIsNoticed) {
  Generator g(1);
  Linear layer(4, 3, Bias::kNo, g);
  const ComputeCopies copies(layer.named_parameters());
  AdamW optimizer({ParameterGroup{layer.named_parameters()}});
  optimizer.write_copies(copies);
  const ComputeWith scope(copies);
  const Variable y = sum(layer(random_leaf({2, 4}, 1)));
  layer.weight.set_grad(Tensor::full({3, 4}, 1));
  optimizer.step(0.1, 0);
  expect_error<AutogradError>([&] { y.backward(); }, "was changed in place since");
}

TEST(ComputeCopies, FollowMastersThatWereLoaded) {
  Variable w(Tensor::full({3}, 1), Requires::kGrad);
  const ComputeCopies copies({{"w", w}});
  w.value().fill_(2);
  copies.refresh();
  EXPECT_SAME(copies.of(w), Tensor::full({3}, 2, DType::kBF16));
}

TEST(ComputeCopies, RefuseOtherTypes) {
  const Variable w = random_leaf({3}, 1, -1, 1, DType::kF64);
  expect_error<DTypeError>([&] { ComputeCopies({{"w", w}}); }, "ComputeCopies: w must be f32, got (3,) f64 cpu");
}

}  // namespace
}  // namespace terrace
