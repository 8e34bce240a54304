#include "nn/optim.h"

#include <cmath>

#include "nn/ema.h"
#include "tensor/pointwise.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr double kTolerance = 1e-6;  // of optim.h5, absolute
const std::vector<std::string> kNames = {"p0", "p1", "p2"};

NamedParameters read_parameters(const GoldenFile& golden, const std::string& group) {
  NamedParameters params;
  for (const std::string& name : kNames) {
    params.emplace_back(name, Variable(golden.read(group + "/inputs/" + name), Requires::kGrad));
  }
  return params;
}

/// Five steps with the fixture's gradients, checked after each, and the moments at the end.
void expect_trajectory(AdamW& optimizer, const NamedParameters& params, const GoldenFile& golden,
                       const std::string& group, const std::vector<double>& lr, const std::vector<double>& wd) {
  for (int64_t t = 0; t < 5; ++t) {
    for (auto [name, p] : params) { p.set_grad(golden.read(group + "/inputs/grad_" + name).select(0, t).contiguous()); }
    optimizer.step(lr[static_cast<size_t>(t)], wd[static_cast<size_t>(t)]);
    for (const auto& [name, p] : params) {
      EXPECT_NEAR_TENSOR(p, golden.read(group + "/outputs/" + name).select(0, t), kTolerance) << name << ", step " << t;
    }
  }
  const State state = optimizer.state_dict();
  for (const std::string& name : kNames) {
    EXPECT_NEAR_TENSOR(state.at("exp_avg." + name), golden.read(group + "/outputs/exp_avg_" + name), kTolerance);
    EXPECT_NEAR_TENSOR(state.at("exp_avg_sq." + name), golden.read(group + "/outputs/exp_avg_sq_" + name), kTolerance);
    EXPECT_EQ(state.at("step." + name).item<int64_t>(), 5);
  }
}

TEST(AdamW, Golden) {
  const GoldenFile golden("optim.h5");
  const NamedParameters params = read_parameters(golden, "adamw");
  AdamW optimizer({ParameterGroup{params}}, {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8});
  expect_trajectory(optimizer, params, golden, "adamw", std::vector<double>(5, 0.001), std::vector<double>(5, 0.05));
}

TEST(AdamW, GoldenGroups) {
  const GoldenFile golden("optim.h5");
  const NamedParameters params = read_parameters(golden, "adamw_groups");
  AdamW optimizer(decay_groups(params, {}), {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8});  // p1 is the one-dimensional
  expect_trajectory(
      optimizer, params, golden, "adamw_groups", {0.0007840800000000002, 0.0008, 0.0008, 0.0008, 0.0008},
      {0.049703782007779494, 0.049691593278003585, 0.04967916036404665, 0.04955629693354371, 0.049213014133164});
}

/// One step in f64 with the formula of nn/optim.h, for extents that reach the vector loop's ends and several threads.
TEST(AdamW, EqualsTheFormulaAtAnyExtent) {
  for (const int64_t n : {0, 1, 2, 7, 31, 33, 129, 5001}) {
    const Variable p = random_leaf({n}, 1), q = random_leaf({n}, 1, -1, 1, DType::kF64);
    const Tensor before = p.value().clone(), g = random_tensor({n}, 2);
    Variable a = p, b = q;
    a.set_grad(g);
    b.set_grad(g.to(DType::kF64));
    AdamW optimizer({ParameterGroup{{{"a", a}, {"b", b}}, 0.5, 2}});
    optimizer.step(0.02, 0.1, 0.25);  // lr 0.01, decay 0.2, gradient / 4
    const std::vector<double> x = before.to_vector<double>(), grad = g.to_vector<double>();
    std::vector<double> expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double scaled = grad[i] * 0.25, m = 0.1 * scaled, v = 0.05 * scaled * scaled;
      expected[i] = x[i] * (1 - 0.01 * 0.2) - 0.01 / 0.1 * m / (std::sqrt(v / 0.05) + 1e-8);
    }
    EXPECT_NEAR_TENSOR(a, Tensor::from(expected, {n}).to(DType::kF32), 2e-7);
    EXPECT_NEAR_TENSOR(b.value().to(DType::kF32), Tensor::from(expected, {n}).to(DType::kF32), 2e-7);
  }
}

TEST(AdamW, LeavesParametersWithoutGradientAlone) {
  Variable a = random_leaf({4}, 3), b = random_leaf({4}, 4);
  const Tensor before = b.value().clone();
  a.set_grad(Tensor::full({4}, 1));
  AdamW optimizer({ParameterGroup{{{"a", a}, {"b", b}}}});
  optimizer.step(0.1, 0.5);
  EXPECT_SAME(b, before);
  EXPECT_EQ(optimizer.state_dict().at("step.b").item<int64_t>(), 0);
  EXPECT_EQ(optimizer.steps(), 1);
  optimizer.zero_grad();
  EXPECT_FALSE(a.grad().defined());
}

TEST(AdamW, RefusesTiedWeightsUnderTwoNames) {
  const Variable w = random_leaf({4}, 5);
  expect_error<ConfigError>(
      [&] {
        AdamW({ParameterGroup{{{"head", w}, {"embedding", w}}}});
      },
      "embedding and head are one parameter");
}

TEST(AdamW, StepsAValueSetFromAView) {
  Variable w = random_leaf({3, 2}, 6);
  AdamW optimizer({ParameterGroup{{{"w", w}}}});
  const Tensor source = random_tensor({2, 3}, 7);
  w.set_value(source.transpose(0, 1));
  EXPECT_TRUE(w.value().is_contiguous());
  w.value() = source.transpose(0, 1);
  expect_error<ShapeError>([&] { optimizer.step(0.1, 0); }, "w is no longer contiguous");
}

TEST(AdamW, ResumedEqualsUninterrupted) {
  const auto train = [](int stop) {  // ten steps; at `stop` everything moves to a new optimizer
    Variable w(random_tensor({37}, 5), Requires::kGrad);
    auto optimizer = std::make_unique<AdamW>(std::vector{ParameterGroup{{{"w", w}}}});
    for (int t = 0; t < 10; ++t) {
      if (t == stop) {
        State saved;
        for (const auto& [name, tensor] : optimizer->state_dict()) { saved.emplace(name, tensor.clone()); }
        optimizer = std::make_unique<AdamW>(std::vector{ParameterGroup{{{"w", w}}}});
        optimizer->load_state_dict(saved);
      }
      w.set_grad(random_tensor({37}, static_cast<uint64_t>(100 + t)));
      optimizer->step(0.01, 0.1);
    }
    return w.value();
  };
  EXPECT_SAME(train(4), train(-1));
}

TEST(AdamW, ThreadsDoNotChangeABit) {
  const int before = threads();
  std::vector<Tensor> results;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    Variable a(random_tensor({9001}, 6), Requires::kGrad), b(random_tensor({13}, 7), Requires::kGrad);
    a.set_grad(random_tensor({9001}, 8));
    b.set_grad(random_tensor({13}, 9));
    AdamW optimizer({ParameterGroup{{{"a", a}, {"b", b}}}});
    optimizer.step(0.01, 0.1);
    results.push_back(a.value());
    results.push_back(b.value());
  }
  set_threads(before);
  for (size_t i = 2; i < results.size(); ++i) { EXPECT_SAME(results[i], results[i % 2]); }
}

TEST(AdamW, SaysWhatDoesNotFit) {
  const Variable w = random_leaf({2}, 1);
  expect_error<ConfigError>([&] { AdamW({ParameterGroup{{{"w", w}, {"w", w}}}}); }, "w is listed twice");
  expect_error<ConfigError>([&] { AdamW({ParameterGroup{{{"w", w}}}}, {.beta1 = 1}); }, "betas in [0, 1)");
  expect_error<DTypeError>(
      [&] {
        AdamW({ParameterGroup{{{"h", Variable(Tensor::zeros({1}, DType::kBF16))}}}});
      },
      "h must be f32 or f64");
  AdamW optimizer({ParameterGroup{{{"w", w}}}});
  State state = optimizer.state_dict();
  state.erase("exp_avg.w");
  expect_error<ConfigError>([&] { optimizer.load_state_dict(state); }, "1 missing (exp_avg.w)");
}

TEST(Clipping, Golden) {
  const GoldenFile golden("optim.h5");
  for (const std::string c : {"a_", "b_"}) {
    std::vector<Variable> params;
    for (const std::string& name : kNames) {
      const Tensor g = golden.read("clip/inputs/" + c + name);
      params.emplace_back(Tensor::zeros(g.shape()), Requires::kGrad);
      params.back().set_grad(g.clone());
    }
    const double norm = clip_grad_norm_(params, 2);
    EXPECT_NEAR(norm, golden.read("clip/outputs/" + c + "norm").item<double>(), 1e-6 * norm);
    for (size_t i = 0; i < kNames.size(); ++i) {
      EXPECT_NEAR_TENSOR(params[i].grad(), golden.read("clip/outputs/" + c + kNames[i]), kTolerance);
    }
  }
}

/// Over chunks' ends, empty tensors, types and parameters without a gradient, beside the norm and the step by
/// themselves.
TEST(Clipping, AStepThatClipsIsTheNormAndAStepByIt) {
  for (const double max_norm : {0.0, 0.5, 1e6}) {
    std::vector<Variable> leaves[2];
    NamedParameters named[2];
    for (int copy = 0; copy < 2; ++copy) {
      for (const int64_t n : {5, 0, 40000, 1, 16384, 0}) {
        const DType dtype = n == 1 ? DType::kF64 : DType::kF32;
        Variable p = random_leaf({n}, static_cast<uint64_t>(n), -1, 1, dtype);
        p.set_grad(random_tensor({n}, static_cast<uint64_t>(n + 1), -1, 1, dtype));
        leaves[copy].push_back(p);
        named[copy].emplace_back(cat("p", leaves[copy].size()), p);
      }
      leaves[copy].push_back(random_leaf({3}, 9));
      named[copy].emplace_back("without", leaves[copy].back());
    }
    const double norm = global_grad_norm(leaves[0]);
    AdamW apart({ParameterGroup{named[0]}}), together({ParameterGroup{named[1]}});
    apart.step(0.01, 0.1, max_norm == 0 ? 1 : clip_coefficient(norm, max_norm));
    together.clipped_step(0.01, 0.1, max_norm);
    EXPECT_NEAR(together.gradient_norm(), norm, 1e-7 * norm);  // whose squares are summed in f32 over short blocks
    for (size_t i = 0; i < leaves[0].size(); ++i) { EXPECT_NEAR_TENSOR(leaves[1][i], leaves[0][i], 1e-7) << i; }
    EXPECT_EQ(together.state_dict().at("step.without").item<int64_t>(), 0);
  }
}

TEST(Clipping, AGradientThatIsNotFiniteChangesNothing) {
  for (const double bad : {double(NAN), double(INFINITY)}) {
    Variable a = random_leaf({7}, 1), b = random_leaf({20000}, 2);
    const Tensor before = b.value().clone();
    a.set_grad(Tensor::full({7}, bad));
    b.set_grad(Tensor::full({20000}, 1));
    AdamW optimizer({ParameterGroup{{{"a", a}, {"b", b}}}});
    optimizer.clipped_step(0.1, 0.1, 2);
    EXPECT_FALSE(std::isfinite(optimizer.gradient_norm()));
    EXPECT_SAME(b, before);
    EXPECT_SAME(optimizer.state_dict().at("exp_avg.b"), Tensor::zeros({20000}));
  }
}

TEST(Clipping, Coefficient) {
  EXPECT_EQ(clip_coefficient(1, 2), 1);
  EXPECT_TRUE(std::isnan(clip_coefficient(NAN, 2)));
  EXPECT_DOUBLE_EQ(clip_coefficient(8, 2), 2 / (8 + 1e-6));
  EXPECT_EQ(global_grad_norm(std::vector<Variable>{random_leaf({3}, 1)}), 0) << "no gradient counts as zero";
}

TEST(Ema, FollowsAndSwaps) {
  Variable w(Tensor::full({3}, 1), Requires::kGrad);
  Ema ema({{"w", w}}, 0.9);
  w.value().fill_(2);
  ema.update();
  EXPECT_NEAR_TENSOR(ema.state().at("w"), Tensor::full({3}, 1.9), 1e-6) << "a tenth of the start is left";
  {
    const EmaScope scope(ema);
    EXPECT_NEAR_TENSOR(w, Tensor::full({3}, 1.9), 1e-6);
  }
  EXPECT_SAME(w, Tensor::full({3}, 2));
  ema.load_state({{"w", Tensor::full({3}, 4)}}, 1000);
  EXPECT_SAME(ema.state().at("w"), Tensor::full({3}, 4));
  ema.update();
  EXPECT_NEAR_TENSOR(ema.state().at("w"), Tensor::full({3}, 3.8), 1e-6) << "the decay asked for, after the warm-up";
  expect_error<ConfigError>([&] { Ema({{"w", w}}, 1); }, "the decay must be in [0, 1)");
  expect_error<ConfigError>([&] { ema.load_state({}, 0); }, "1 missing (w)");
}

}  // namespace
}  // namespace terrace
