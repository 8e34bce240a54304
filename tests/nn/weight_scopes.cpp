#include "nn/weight_scopes.h"

#include "nn/layers.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(LinearWeightsIn, ChangesTheMatricesOfLinearLayersWhileItLives) {
  {
    const LinearWeightsIn narrow(DType::kBF16);
    EXPECT_EQ(Linear(3, 4).weight.dtype(), DType::kBF16);
    EXPECT_EQ(Linear(3, 4).bias.dtype(), DType::kF32);
    EXPECT_EQ(SiluLinear(3, 4).linear.weight.dtype(), DType::kBF16);
    EXPECT_EQ(Embedding(3, 4).weight.dtype(), DType::kF32);
    EXPECT_EQ(Conv2d(3, 4, 3).weight.dtype(), DType::kF32);
    const LinearWeightsIn wide(DType::kF32);
    EXPECT_EQ(Linear(3, 4).weight.dtype(), DType::kF32);
  }
  EXPECT_EQ(Linear(3, 4).weight.dtype(), DType::kF32);
}

TEST(LinearWeightsIn, TheSameDrawsRounded) {
  Generator a(5), b(5);
  const Linear wide(40, 30, Bias::kYes, a);
  const LinearWeightsIn scope(DType::kBF16);
  const Linear narrow(40, 30, Bias::kYes, b);
  // Within a bit: the largest draws stay below the bound, which rounding would reach.
  EXPECT_CLOSE(narrow.weight.value().to(DType::kF32), wide.weight.value(), 1.0 / 128);
  EXPECT_SAME(narrow.bias.value(), wide.bias.value());
}

TEST(LinearWeightsIn, RefusesOtherTypes) {
  expect_error<DTypeError>([] { const LinearWeightsIn scope(DType::kF16); },
                           "weights of linear layers are kept in f32 or bf16, not in f16");
}

TEST(WithoutInitialValues, NothingIsDrawn) {
  Generator g(1);
  {
    const WithoutInitialValues scope;
    const Linear layer(20, 30, Bias::kYes, g);
    const Embedding table(4, 5, g);
    EXPECT_EQ(g.offset, 0u);
    for (const float x : layer.weight.value().to_vector<float>()) { EXPECT_EQ(x, 0); }
    for (const float x : table.weight.value().to_vector<float>()) { EXPECT_EQ(x, 0); }
  }
  const Linear layer(20, 30, Bias::kYes, g);
  EXPECT_EQ(g.offset, 630u);
}

}  // namespace
}  // namespace terrace
