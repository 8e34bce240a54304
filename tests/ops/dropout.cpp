#include "autograd/ops/dropout.h"

#include <cmath>

#include "tensor/random.h"
#include "tests/cuda/parity.h"
#include "tests/ops/oracle.h"

namespace terrace {
namespace {

Variable ones(const Shape& shape, DType dtype = DType::kF32) {
  return Variable(Here::full(shape, 1, dtype), Requires::kGrad);
}

TEST(Dropout, KeepsTheExpectationAndTheShare) {
  default_generator() = Generator(1);
  const std::vector<double> y = dropout(ones({100, 200}), 0.25, true).value().to_vector<double>();
  double kept = 0;
  for (const double v : y) {
    EXPECT_TRUE(v == 0 || std::fabs(v - 4.0 / 3) < 1e-6) << v;
    kept += v != 0;
  }
  // 20000 draws: standard deviation 0.003.
  EXPECT_NEAR(kept / 20000, 0.75, 0.015);
}

TEST(Dropout, BackwardUsesTheMaskOfForward) {
  default_generator() = Generator(2);
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
    const Variable x = ones({33, 7}, dtype);
    const Variable y = dropout(x, 0.5, true);
    dropout(x, 0.5, true);  // draws in between must not matter
    EXPECT_SAME(grad({y}, {x}, {Here::full({33, 7}, 1, dtype)})[0], y.value());
  }
}

TEST(Dropout, AdvancesTheStreamByOneDrawPerElement) {
  default_generator() = Generator(3);
  const Tensor first = dropout(ones({5, 9}), 0.5, true).value();
  EXPECT_EQ(default_generator().offset, 45u);
  const Tensor second = dropout(ones({5, 9}), 0.5, true).value();
  EXPECT_GT(absolute_error(first, second), 0);
  default_generator() = Generator(3);
  EXPECT_SAME(dropout(ones({5, 9}), 0.5, true).value(), first);
}

TEST(Dropout, NothingOutsideTrainingAndForZero) {
  const Variable x = ones({3});
  const uint64_t before = default_generator().offset;
  EXPECT_SAME(dropout(x, 0.5, false).value(), x.value());
  EXPECT_SAME(dropout(x, 0, true).value(), x.value());
  EXPECT_SAME(drop_path(x, 0.5, false).value(), x.value());
  EXPECT_EQ(default_generator().offset, before);
  EXPECT_SAME(dropout(x, 1, true).value(), Here::zeros({3}));
}

TEST(DropPath, WholeSamplesForwardAndBackward) {
  default_generator() = Generator(4);
  const Variable x = ones({400, 3, 5});
  const Variable y = drop_path(x, 0.25, true);
  EXPECT_EQ(default_generator().offset, 400u);
  const std::vector<double> v = y.value().to_vector<double>();
  int kept = 0;
  for (size_t b = 0; b < 400; ++b) {
    for (size_t i = 1; i < 15; ++i) { EXPECT_EQ(v[b * 15 + i], v[b * 15]); }
    kept += v[b * 15] != 0;
  }
  EXPECT_NEAR(kept, 300, 45);  // five standard deviations
  EXPECT_SAME(grad({y}, {x}, {Here::full({400, 3, 5}, 1)})[0], y.value());
}

TEST(DropIndices, ReplacesItsShareByTheDrawsOfTheStream) {
  default_generator() = Generator(6);
  const Tensor indices = Tensor::arange(2000).view({50, 40});
  const Tensor dropped = drop_indices(indices, 0.3, -1);
  EXPECT_EQ(default_generator().offset, 2000u);
  EXPECT_EQ(dropped.shape(), indices.shape());
  Generator g(6);
  int replaced = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const bool gone = g.next_uniform() < 0.3;
    replaced += gone;
    EXPECT_EQ(dropped.data<int64_t>()[i], gone ? -1 : i);
  }
  EXPECT_NEAR(replaced, 600, 100);  // five standard deviations
  EXPECT_SAME(drop_indices(indices, 0, -1), indices);
  expect_error<DTypeError>([] { drop_indices(Tensor::zeros({2}), 0.5, 0); }, "drop_indices: indices must be i64");
  expect_error<ConfigError>([&] { drop_indices(indices, 2, 0); }, "drop_indices: the probability must be in [0, 1]");
}

TEST(Dropout, Gradcheck) {
  const auto seeded = [](auto op) {
    return [op](const std::vector<Variable>& in) {
      default_generator() = Generator(5);
      return op(in[0], 0.4, true);
    };
  };
  expect_gradcheck("dropout", seeded(dropout), {random_leaf({4, 5}, 6, -1, 1, DType::kF64)});
  expect_gradcheck("drop_path", seeded(drop_path), {random_leaf({4, 5}, 6, -1, 1, DType::kF64)});
}

TEST(Dropout, BadInput) {
  expect_error<ConfigError>([] { dropout(ones({2}), -0.1, true); }, "dropout: the probability must be in [0, 1]");
  expect_error<ConfigError>([] { dropout(ones({2}), NAN, false); }, "dropout");
  expect_error<ConfigError>([] { drop_path(ones({2}), 1.5, true); }, "drop_path");
  expect_error<ShapeError>([] { drop_path(Variable(Here::scalar(1)), 0.5, true); }, "drop_path");
  expect_error<DTypeError>([] { dropout(Variable(Here::zeros({2}, DType::kI64)), 0.5, true); }, "dropout");
}

TEST(CudaDropout, DrawsTheNumbersOfTheCpu) {
  for (const uint64_t offset : {0, 3, 6}) {  // blocks of four draws that begin before the tensor
    for (const Shape& shape : {Shape{0}, Shape{1}, Shape{5, 9}, Shape{3, 200}, Shape{4, 64}}) {
      const auto from_there = [&](auto&& op) {
        expect_parity(
            [&](const std::vector<Variable>& in) {
              default_generator() = Generator(7, 2);
              default_generator().offset = offset;
              return op(in[0]);
            },
            {shape});
      };
      from_there([](const Variable& x) { return dropout(x, 0.3, true); });
      from_there([](const Variable& x) { return drop_path(x, 0.5, true); });
    }
  }
}

}  // namespace
}  // namespace terrace
