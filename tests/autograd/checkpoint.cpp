// Activation checkpointing: bit-identical values and gradients, for less memory.
#include "autograd/checkpoint.h"

#include "autograd/functions.h"
#include "tensor/allocator.h"
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
  for (const Variable& v : in) result.gradients.push_back(v.grad());
  return result;
}

TEST(Checkpoint, SameBitsWithDropoutInside) {
  const Outcome plain = run(false), recomputed = run(true);
  EXPECT_SAME(recomputed.value, plain.value);
  EXPECT_EQ(recomputed.offset, plain.offset) << "recomputing must leave the generator where it was";
  for (size_t i = 0; i < plain.gradients.size(); ++i) EXPECT_SAME(recomputed.gradients[i], plain.gradients[i]) << i;
}

TEST(Checkpoint, KeepsLessInMemory) {
  const Variable x = random_leaf({256, 1024}, 1);
  const auto chain = [](const Inputs& in) {
    Variable y = in[0];
    for (int i = 0; i < 8; ++i) y = tanh(y * 1.1);
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

}  // namespace
}  // namespace terrace
