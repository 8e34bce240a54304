#include "nn/module.h"

#include "nn/layers.h"
#include "tests/support.h"

namespace terrace {
namespace {

class Block : public Module {
 public:
  Block() {
    register_parameter("gamma", gamma_);
    register_module("fc", fc_);
    register_module("ada_lin", ada_lin_);
    register_module("drop", drop);
    register_buffer("zero_k_bias", zero_);
  }
  DropPath drop{0.5};

 private:
  Linear fc_{3, 2, Bias::kNo};
  SiluLinear ada_lin_{2, 4};
  Variable gamma_{Tensor::full({2}, 1), Requires::kGrad};
  Tensor zero_ = Tensor::zeros({2});
};

class Net : public Module {
 public:
  Net() {
    register_module("blocks.0", first);
    register_module("blocks.1", second);
    register_parameter("pos", pos);
  }
  Block first, second;
  Variable pos{Tensor::zeros({1, 2}), Requires::kGrad};
};

TEST(Module, NamesFollowTheTree) {
  const Net net;
  std::vector<std::string> names;
  for (const auto& [name, parameter] : net.named_parameters()) { names.push_back(name); }
  const std::vector<std::string> expected = {"pos",
                                             "blocks.0.gamma",
                                             "blocks.0.fc.weight",
                                             "blocks.0.ada_lin.1.weight",
                                             "blocks.0.ada_lin.1.bias",
                                             "blocks.1.gamma",
                                             "blocks.1.fc.weight",
                                             "blocks.1.ada_lin.1.weight",
                                             "blocks.1.ada_lin.1.bias"};
  EXPECT_EQ(names, expected);
  EXPECT_EQ(net.parameter_count(), 2 + 2 * (2 + 6 + 8 + 4));
  ASSERT_EQ(net.named_buffers().size(), 2u);
  EXPECT_EQ(net.named_buffers()[1].first, "blocks.1.zero_k_bias");
  EXPECT_EQ(net.parameter("blocks.1.fc.weight").shape(), (Shape{2, 3}));
  expect_error<ConfigError>([&] { net.parameter("blocks.2.gamma"); }, "blocks.2.gamma");
}

TEST(Module, StateLoadsIntoAnother) {
  Net a, b;
  a.pos.value().fill_(7);
  b.load_state(a.state());
  for (const auto& [name, tensor] : a.state()) { EXPECT_SAME(b.state().at(name), tensor) << name; }
  State half = a.state();
  half.at("pos") = half.at("pos").to(DType::kF16);
  half.emplace("attn_bias", Tensor::zeros({3}));
  half.emplace("blocks.0.attn.extra", Tensor::zeros({3}));
  b.pos.value().fill_(0);
  b.load_state(half, {"attn_bias", "attn.extra"});
  EXPECT_SAME(b.pos, a.pos.value());
}

TEST(Module, LoadingTellsEverythingThatDoesNotFit) {
  Net net;
  State state = net.state();
  state.erase("blocks.0.gamma");
  state.erase("blocks.1.gamma");
  state.emplace("zeta", Tensor::zeros({1}));
  state.at("blocks.1.fc.weight") = Tensor::zeros({3, 2});
  state.at("blocks.1.zero_k_bias") = Tensor::zeros({2}, DType::kI64);
  state.at("pos") = Tensor::full({1, 2}, 5);
  for (const char* text : {"2 missing (blocks.0.gamma, blocks.1.gamma)", "1 extra (zeta)",
                           "1 of another shape (blocks.1.fc.weight is (3, 2), not (2, 3))",
                           "1 of another type (blocks.1.zero_k_bias is i64, not f32)"}) {
    expect_error<ConfigError>([&] { net.load_state(state); }, text);
  }
  EXPECT_SAME(net.pos, Tensor::zeros({1, 2})) << "a refused state must change nothing";
}

TEST(Module, TrainAndEvalReachTheLeaves) {
  Net net;
  EXPECT_TRUE(net.second.drop.training());
  net.eval();
  EXPECT_FALSE(net.second.drop.training());
  const Variable x = random_leaf({64, 3}, 1);
  EXPECT_SAME(net.second.drop(x), x.value());
  net.train();
  EXPECT_GT(absolute_error(net.second.drop(x), x), 0);
}

TEST(Module, ZeroGrad) {
  Net net;
  net.pos.set_grad(Tensor::zeros({1, 2}));
  net.zero_grad();
  EXPECT_FALSE(net.pos.grad().defined());
}

TEST(Module, MembersOfAnotherKeepTheirNames) {
  class Outer : public Module {
   public:
    explicit Outer(bool clash) {
      register_parameter(clash ? "gamma" : "w", w);
      register_members(inner);
    }
    Variable w{Tensor::zeros({1}), Requires::kGrad};
    Block inner;
  };
  Outer outer(false);
  std::vector<std::string> names;
  for (const auto& [name, parameter] : outer.named_parameters()) { names.push_back(name); }
  EXPECT_EQ(names, (std::vector<std::string>{"w", "gamma", "fc.weight", "ada_lin.1.weight", "ada_lin.1.bias"}));
  EXPECT_EQ(outer.named_buffers().front().first, "zero_k_bias");
  outer.eval();
  EXPECT_FALSE(outer.inner.drop.training());
  expect_error<ConfigError>([] { Outer(true); }, "\"gamma\" is taken");
}

TEST(Module, NamesAreUniqueAndSet) {
  class Twice : public Module {
   public:
    Twice() {
      register_parameter("w", w);
      register_module("w", l);
    }
    Variable w{Tensor::zeros({1})};
    Linear l{1, 1};
  };
  expect_error<ConfigError>([] { Twice t; }, "\"w\" is taken");
  class Unset : public Module {
   public:
    Unset() { register_parameter("w", w); }
    Variable w;
  };
  expect_error<ConfigError>([] { Unset u; }, "\"w\" has no value");
}

}  // namespace
}  // namespace terrace
