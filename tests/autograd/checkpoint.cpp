// Activation checkpointing: bit-identical values and gradients, for less memory.
#include "autograd/checkpoint.h"

#include <utility>

#include "autograd/functions.h"
#include "tensor/device/allocator.h"
#include "tensor/random.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;

/// A block with random numbers inside.
Variable block(const Inputs& in) { return dropout(gelu_tanh(linear(in[0], in[1], in[2])), 0.3, true) + in[0]; }

Inputs make_inputs() { return {random_leaf({5, 8}, 1), random_leaf({8, 8}, 2), random_leaf({8}, 3)}; }

struct Outcome {
  Tensor value;
  std::vector<Tensor> gradients;
  uint64_t offset = 0;
};

/// Two blocks in a row, with or without checkpoints; then a draw, which must be the same one.
Outcome run(bool with_checkpoints) {
  default_generator() = Generator(42);
  const Inputs in = make_inputs();
  const auto apply_block = [&](const Variable& x) {
    const Inputs inputs = {x, in[1], in[2]};
    return with_checkpoints ? checkpoint(block, inputs) : block(inputs);
  };
  const Variable y = apply_block(apply_block(in[0]));
  sum(square(y)).backward();
  Outcome result{y.value(), {}, default_generator().offset};
  for (const Variable& v : in) { result.gradients.push_back(v.grad()); }
  return result;
}

TEST(Checkpoint, SameBitsWithDropoutInside) {
  const Outcome plain = run(false), recomputed = run(true);
  EXPECT_SAME(recomputed.value, plain.value);
  EXPECT_EQ(recomputed.offset, plain.offset) << "recomputing must leave the generator where it was";
  for (size_t i = 0; i < plain.gradients.size(); ++i) { EXPECT_SAME(recomputed.gradients[i], plain.gradients[i]) << i; }
}

TEST(Checkpoint, KeepsLessInMemory) {
  const Variable x = random_leaf({256, 1024}, 1);
  const auto chain = [](const Inputs& in) {
    Variable y = in[0];
    for (int i = 0; i < 8; ++i) { y = tanh(y * 1.1); }
    return y;
  };
  const auto live_after = [&](bool with_checkpoint) {
    const int64_t before = memory_stats().live;
    const Variable y = with_checkpoint ? checkpoint(chain, {x}) : chain({x});
    return memory_stats().live - before;
  };
  EXPECT_LT(live_after(true), live_after(false) / 4);
}

TEST(Checkpoint, NestsAndPassesInputsThatNeedNothing) {
  const Variable x = random_leaf({4, 8}, 1), constant(random_tensor({4, 8}, 2));
  const auto inner = [](const Inputs& in) { return tanh(in[0] * in[1]); };
  const auto outer = [&](const Inputs& in) { return checkpoint(inner, {square(in[0]), in[1]}); };
  sum(checkpoint(outer, {x, constant})).backward();
  const Tensor gradient = x.grad();
  const Variable again(x.value(), Requires::kGrad);
  sum(inner({square(again), constant})).backward();
  EXPECT_SAME(gradient, again.grad());
  EXPECT_FALSE(constant.grad().defined());
}

TEST(Checkpoint, WithoutGradientsItIsACall) {
  const Variable x(random_tensor({4}, 1));
  const Variable y = checkpoint([](const Inputs& in) { return exp(in[0]); }, {x});
  EXPECT_SAME(y, exp(x));
  const NoGrad off;
  EXPECT_FALSE(checkpoint([](const Inputs& in) { return exp(in[0]); }, {x}).requires_grad());
}

TEST(Checkpoint, ReachesParametersThatTheFunctionHoldsItself) {
  const Variable x = random_leaf({4}, 1), captured = random_leaf({4}, 2);
  sum(checkpoint([captured](const Inputs& in) { return in[0] * captured; }, {x})).backward();
  EXPECT_SAME(captured.grad(), x.value());
  EXPECT_SAME(x.grad(), captured.value());
}

TEST(Checkpoint, ReachesWhatTheFunctionCapturesBeyondLeaves) {
  const Variable x = random_leaf({4}, 1), w = random_leaf({4}, 2);
  const auto loss = [&](bool with_checkpoint) {
    const Variable captured = exp(w);
    const auto fn = [captured](const Inputs& in) { return in[0] * captured; };
    return sum((with_checkpoint ? checkpoint(fn, {x}) : fn({x})) * captured);
  };
  const std::vector<Tensor> plain = grad({loss(false)}, {x, w}), recomputed = grad({loss(true)}, {x, w});
  for (size_t i = 0; i < plain.size(); ++i) { EXPECT_SAME(recomputed[i], plain[i]) << i; }
  EXPECT_FALSE(w.grad().defined()) << "grad() accumulates into no leaf, captured ones included";
}

TEST(Checkpoint, ASharedParameterGetsTheSameBits) {
  const Variable x = random_leaf({16, 32}, 1), w = random_leaf({32, 32}, 2), b = random_leaf({32}, 3);
  const auto gradients = [&](bool with_checkpoints) {
    const auto fn = [&](const Inputs& in) { return tanh(linear(tanh(linear(in[0], w, b)), w, b)) + in[0]; };
    Variable y = x;
    for (int i = 0; i < 3; ++i) { y = with_checkpoints ? checkpoint(fn, {y}) : fn({y}); }
    return grad({sum(square(y + linear(x, w, b)))}, {x, w, b});
  };
  const std::vector<Tensor> plain = gradients(false), recomputed = gradients(true);
  for (size_t i = 0; i < plain.size(); ++i) { EXPECT_SAME(recomputed[i], plain[i]) << i; }
}

TEST(Checkpoint, HooksSeeCompleteGradientsOnce) {
  const Variable w = random_leaf({4}, 1), x = random_leaf({4}, 2);
  std::vector<Tensor> seen;
  w.register_hook([&](const Tensor& gradient) {
    seen.push_back(gradient.clone());
    return gradient;
  });
  const auto fn = [w](const Inputs& in) { return in[0] * w; };
  sum(checkpoint(fn, {checkpoint(fn, {x})}) + w).backward();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_SAME(seen[0], w.grad());
}

TEST(Checkpoint, ARetainedGraphRunsAgain) {
  const Variable x = random_leaf({4}, 1);
  const Variable y = sum(checkpoint([](const Inputs& in) { return square(in[0]); }, {x}));
  const Tensor once = grad({y}, {x}, {}, RetainGraph::kYes)[0];
  EXPECT_SAME(grad({y}, {x})[0], once);
  expect_error<AutogradError>([&] { grad({y}, {x}); }, "second time");
}

TEST(Checkpoint, AnErrorInTheSecondComputationPutsTheGeneratorBack) {
  default_generator() = Generator(7);
  int calls = 0;
  const auto fn = [&](const Inputs& in) {
    const Variable y = dropout(in[0], 0.5, true);
    if (++calls == 2) { throw ConfigError("not again"); }
    return y;
  };
  const Variable y = sum(checkpoint(fn, {random_leaf({8}, 1)}));
  const uint64_t offset = default_generator().offset;
  expect_error<ConfigError>([&] { y.backward(); }, "not again");
  EXPECT_EQ(default_generator().offset, offset);
  EXPECT_TRUE(grad_enabled());
}

TEST(Checkpoint, RefusesWhatChangedInBetween) {
  const auto fn = [](const Inputs& in) { return square(in[0]); };
  Variable x = random_leaf({4}, 1);
  const Variable written = sum(checkpoint(fn, {x}));
  x.value().fill_(2);
  expect_error<AutogradError>([&] { written.backward(); }, "checkpoint: a tensor saved for backward");
  const Variable replaced = sum(checkpoint(fn, {x}));
  x.set_value(Tensor::full({4}, 3));
  expect_error<AutogradError>([&] { replaced.backward(); },
                              "checkpoint: input 0 ((4,) f32 cpu) was given another value");

  bool first = true;
  const auto fickle = [&](const Inputs& in) { return std::exchange(first, false) ? in[0] : sum(in[0]); };
  const Variable y = sum(checkpoint(fickle, {x}));
  expect_error<AutogradError>([&] { y.backward(); }, "gave () f32 cpu when computed again, (4,) f32 the first time");
}

}  // namespace
}  // namespace terrace
