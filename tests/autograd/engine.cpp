// The graph and the engine: what reaches which leaf, and what is refused.
#include <thread>

#include "autograd/functions.h"
#include "autograd/node.h"
#include "tensor/pointwise.h"
#include "tests/support.h"

namespace terrace {
namespace {

Variable leaf(const std::vector<float>& values) {
  return Variable(Tensor::from(values, {static_cast<int64_t>(values.size())}), Requires::kGrad);
}
std::vector<float> gradient(const Variable& v) { return v.grad().to_vector<float>(); }
using Values = std::vector<float>;

TEST(Engine, GradientsOfASharedInputAdd) {
  const Variable x = leaf({1, 2, 3});
  sum(x * x + x * 2.0).backward();
  EXPECT_EQ(gradient(x), (Values{4, 6, 8}));
  sum(x).backward();
  EXPECT_EQ(gradient(x), (Values{5, 7, 9})) << "a second backward adds";
  Variable(x).zero_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(Engine, AVariableUsedTwiceInOneOp) {
  const Variable x = leaf({3});
  (x * x).backward();
  EXPECT_EQ(gradient(x), (Values{6}));
}

TEST(Engine, DiamondsRunEachNodeOnce) {
  const Variable x = leaf({2});
  Variable y = x;
  for (int i = 0; i < 30; ++i) {
    y = y + y;  // 2^30 paths
  }
  y.backward();
  EXPECT_EQ(gradient(x), (Values{0x1p30f}));
}

TEST(Engine, SeedsWeightTheOutputs) {
  const Variable x = leaf({1, 2, 3});
  square(x).backward(Tensor::from(Values{1, 0, -1}, {3}));
  EXPECT_EQ(gradient(x), (Values{2, 0, -6}));
  expect_error<AutogradError>([&] { square(x).backward(); }, "scalar");
  expect_error<ShapeError>([&] { square(x).backward(Tensor::zeros({4})); }, "(4,)");
  expect_error<DTypeError>([&] { square(x).backward(Tensor::zeros({3}, DType::kF64)); }, "f64");
}

TEST(Engine, LeavesThatNeedNothingGetNothing) {
  const Variable x = leaf({1, 2}), constant(Tensor::full({2}, 3));
  const Variable y = x * constant;
  EXPECT_TRUE(y.requires_grad());
  EXPECT_FALSE((constant * constant).requires_grad());
  EXPECT_EQ((constant * constant).node(), nullptr);
  sum(y).backward();
  EXPECT_FALSE(constant.grad().defined());
  EXPECT_EQ(gradient(x), (Values{3, 3}));
  expect_error<AutogradError>([&] { sum(constant).backward(); }, "grad");
}

TEST(Engine, AGraphRunsOnceUnlessRetained) {
  const Variable x = leaf({1, 2});
  const Variable y = sum(square(x));
  y.backward({}, RetainGraph::kYes);
  y.backward();
  EXPECT_EQ(gradient(x), (Values{4, 8}));
  expect_error<AutogradError>([&] { y.backward(); }, "second time");
}

TEST(Engine, LeafPropertiesAreGuarded) {
  Variable x = leaf({1, 2});
  EXPECT_TRUE(x.is_leaf());
  Variable y = x * 2.0;
  EXPECT_FALSE(y.is_leaf());
  expect_error<AutogradError>([&] { y.set_requires_grad(Requires::kNothing); }, "lea");
  expect_error<AutogradError>([&] { y.set_value(Tensor::zeros({2})); }, "lea");
  expect_error<ShapeError>([&] { x.set_value(Tensor::zeros({3})); }, "(3,)");
  expect_error<ShapeError>([&] { x.set_grad(Tensor::zeros({3})); }, "(3,)");
  expect_error<DTypeError>([&] { x.set_grad(Tensor::zeros({2}, DType::kF64)); }, "f64");
  x.set_requires_grad(Requires::kNothing);
  EXPECT_FALSE((x * 2.0).requires_grad());
  expect_error<DTypeError>([] { Variable(Tensor::zeros({2}, DType::kI64), Requires::kGrad); }, "i64");
}

TEST(Engine, DetachCutsTheHistory) {
  const Variable x = leaf({1, 2});
  const Variable y = x * 3.0;
  EXPECT_FALSE(y.detach().requires_grad());
  EXPECT_TRUE(y.detach().value().shares_storage_with(y.value()));
  sum(y * y.detach()).backward();
  EXPECT_EQ(gradient(x), (Values{9, 18}));
}

TEST(Engine, NoGradRecordsNothing) {
  const Variable x = leaf({1, 2});
  EXPECT_TRUE(grad_enabled());
  {
    NoGrad off;
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE((x * 2.0).requires_grad());
    {
      EnableGrad on;
      EXPECT_TRUE((x * 2.0).requires_grad());
    }
    EXPECT_FALSE((x * 2.0).requires_grad());
  }
  EXPECT_TRUE((x * 2.0).requires_grad());
  NoGrad off;
  bool other_thread = false;
  std::thread([&] { other_thread = grad_enabled(); }).join();
  EXPECT_TRUE(other_thread) << "each thread has its own switch";
}

TEST(Engine, GradGivesGradientsWithoutAccumulating) {
  const Variable x = leaf({1, 2}), z = leaf({5}), unused = leaf({1});
  const Variable middle = x * 2.0;
  const Variable y = sum(square(middle)) + sum(z);
  const std::vector<Tensor> g = grad({y}, {x, middle, unused, z});
  EXPECT_EQ(g[0].to_vector<float>(), (Values{8, 16}));
  EXPECT_EQ(g[1].to_vector<float>(), (Values{4, 8}));
  EXPECT_FALSE(g[2].defined());
  EXPECT_EQ(g[3].to_vector<float>(), (Values{1}));
  EXPECT_FALSE(x.grad().defined());
  EXPECT_FALSE(z.grad().defined());
}

TEST(Engine, WhatIsHandedOutIsSharedWithNothing) {
  const Variable a = random_leaf({3}, 1), b = random_leaf({3}, 2);
  const Variable y = a + b;
  y.retain_grad();
  const Tensor seed = Tensor::full({3}, 1);
  const std::vector<Tensor> gradients = grad({y}, {a, b, y}, {seed}, RetainGraph::kYes);
  const std::vector<Tensor> all = {gradients[0], gradients[1], gradients[2], y.grad(), seed};
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < i; ++j) { EXPECT_FALSE(all[i].shares_storage_with(all[j])) << i << ", " << j; }
  }
}

TEST(Engine, ARefusedFlagChangesNothing) {
  Variable index(Tensor::zeros({2}, DType::kI64));
  expect_error<DTypeError>([&] { index.set_requires_grad(Requires::kGrad); }, "floating");
  EXPECT_FALSE(index.requires_grad());
}

TEST(Engine, GradOfSeveralOutputsWithSeeds) {
  const Variable x = leaf({1, 2});
  const std::vector<Tensor> g =
      grad({x * 2.0, square(x)}, {x}, {Tensor::from(Values{1, 1}, {2}), Tensor::from(Values{0, 10}, {2})});
  EXPECT_EQ(g[0].to_vector<float>(), (Values{2, 42}));
  const std::vector<Tensor> self = grad({x}, {x}, {Tensor::from(Values{3, 4}, {2})});
  EXPECT_EQ(self[0].to_vector<float>(), (Values{3, 4}));
}

TEST(Engine, OpsWithSeveralResults) {
  const Variable x = leaf({1, 2, 3, 4});
  const std::vector<Variable> parts = chunk(x, 2, 0);
  sum(parts[1] * parts[1]).backward();
  EXPECT_EQ(gradient(x), (Values{0, 0, 6, 8}));
}

TEST(Engine, DeepGraphsDoNotOverflowTheStack) {
  const Variable x = leaf({1});
  {
    Variable y = x;
    for (int i = 0; i < 100000; ++i) { y = add_scalar(y, 1e-3); }
    y.backward();
    EXPECT_EQ(gradient(x), (Values{1}));
  }
  Variable z = x;  // released without having been run
  for (int i = 0; i < 100000; ++i) { z = add_scalar(z, 1e-3); }
}

TEST(Engine, MemoryOfTheGraphIsReleasedAsItRuns) {
  const Variable x = random_leaf({1000}, 1);
  const Variable y = sum(exp(exp(x)));
  const Tensor kept = y.value();
  const std::shared_ptr<Node> node = y.node();
  y.backward();
  EXPECT_FALSE(static_cast<bool>(node->backward)) << "the closure and what it saved are gone";
}

TEST(Engine, HooksSeeAndReplaceTheCompleteGradient) {
  const Variable x = leaf({1, 2});
  const Variable y = x * 2.0;
  int calls = 0;
  y.register_hook([&](const Tensor& g) {
    ++calls;
    EXPECT_EQ(g.to_vector<float>(), (Values{4, 4}));
    return scale(g, 10);
  });
  sum(y + y * 3.0).backward();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(gradient(x), (Values{80, 80}));
}

TEST(Engine, HooksOfLeavesRunBeforeAccumulation) {
  const Variable x = leaf({1, 2});
  int calls = 0;
  x.register_hook([&](const Tensor& g) {
    ++calls;
    return scale(g, 2);
  });
  sum(x * x).backward();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(gradient(x), (Values{4, 8}));
}

TEST(Engine, RetainGradKeepsGradientsOfIntermediates) {
  const Variable x = leaf({1, 2});
  const Variable y = x * 2.0, z = square(y);
  y.retain_grad();
  sum(z).backward();
  EXPECT_EQ(gradient(y), (Values{4, 8}));
  EXPECT_FALSE(z.grad().defined());
}

TEST(Engine, WritingToASavedTensorIsNoticed) {
  const Variable x = leaf({1, 2});
  Variable y = exp(x);
  const Variable z = sum(y * y);
  y.value().fill_(0);
  expect_error<AutogradError>([&] { z.backward(); }, "in place");

  const Variable a = leaf({1, 2});
  Variable b = a * 2.0;
  const Variable c = sum(b);  // saves nothing of b
  b.value().fill_(0);
  c.backward();
  EXPECT_EQ(gradient(a), (Values{2, 2}));
}

TEST(Engine, AViewsWriteIsNoticedToo) {
  const Variable x = random_leaf({4, 3}, 1);
  Variable y = exp(x);
  const Variable z = sum(square(y));
  y.value().select(0, 2).fill_(1);
  expect_error<AutogradError>([&] { z.backward(); }, "in place");
}

TEST(Engine, AWrongGradientShapeNamesTheOp) {
  const Variable x = leaf({1, 2});
  const Variable y =
      record("misshapen", x.value().clone(), {x}, [](const Tensor&) -> Gradients { return {Tensor::zeros({3})}; });
  expect_error<Error>([&] { sum(y).backward(); }, "misshapen");
}

TEST(Engine, ThrowingHooksLeaveTheEngineUsable) {
  const Variable x = leaf({1});
  const Variable y = x * 2.0;
  y.register_hook([](const Tensor&) -> Tensor { throw ConfigError("stop here"); });
  expect_error<ConfigError>([&] { y.backward(); }, "stop here");
  const Variable z = x * 3.0;
  z.backward();
  EXPECT_EQ(gradient(x), (Values{3}));
}

TEST(Engine, EachThreadRunsItsOwnGraph) {
  std::vector<std::thread> threads;
  std::vector<double> results(4);
  for (size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const Variable x = random_leaf({100}, i);
      for (int round = 0; round < 20; ++round) { sum(square(x)).backward(); }
      results[i] = relative_error(x.grad(), scale(x.value(), 40));
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  for (double error : results) { EXPECT_LT(error, 1e-5); }
}

}  // namespace
}  // namespace terrace
