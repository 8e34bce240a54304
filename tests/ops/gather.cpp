#include "autograd/ops/gather.h"

#include "autograd/gradcheck.h"
#include "tensor/random.h"
#include "tests/cuda/one_device.h"
#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenGather, ValueAndGradient) {
  const GoldenCase gather_case("gather");
  Variable x = gather_case.leaf("x");
  gather_case.expect(gather(x, 1, gather_case.input("idx")), {{"x", x}});
}

TEST(Gather, EveryDimensionAndSmallerIndices) {
  Variable x = random_leaf({3, 5, 4}, 1, -1, 1, DType::kF64);
  Generator g(3);
  for (int64_t dim = -3; dim < 3; ++dim) {
    for (const Shape& shape : {Shape{3, 5, 4}, Shape{2, 2, 3}, Shape{1, 1, 1}, Shape{3, 0, 4}}) {
      SCOPED_TRACE(cat("dim ", dim, " index ", shape));
      const int64_t along = (dim + 3) % 3;
      const Tensor index = randint(x.dim(along), shape, g).to(test_device());
      const Variable y = gather(x, dim, index);
      const std::vector<double> xs = x.value().to_vector<double>(), ys = y.value().to_vector<double>();
      const std::vector<int64_t> is = index.to_vector<int64_t>();
      for (size_t n = 0; n < ys.size(); ++n) {
        int64_t at[3] = {static_cast<int64_t>(n) / (shape[1] * shape[2]), static_cast<int64_t>(n) / shape[2] % shape[1],
                         static_cast<int64_t>(n) % shape[2]};
        at[along] = is[n];
        ASSERT_EQ(ys[n], xs[static_cast<size_t>((at[0] * 5 + at[1]) * 4 + at[2])]);
      }
      if (y.numel() > 0) {
        gradcheck("gather", [&](const std::vector<Variable>& in) { return gather(in[0], dim, index); }, {x.value()});
      }
    }
  }
}

TEST(Gather, RepeatedPositionsAddUpInOrder) {
  Variable x = random_leaf({4}, 1);
  const Variable y = gather(x, 0, i64({2, 2, 0, 2}, {4}));
  y.backward(f32({1e8F, 1, 5, -1e8F}, {4}));
  EXPECT_SAME(x.grad(), f32({5, 0, 1e8F + 1 - 1e8F, 0}, {4}));
}

TEST(Gather, LargeAndNarrow) {
  const Tensor x = random_tensor({129, 700}, 1);
  Generator g(5);
  const Tensor index = randint(129, {33, 700}, g).to(test_device());
  const Tensor y = gather(constant(x), 0, index).value();
  EXPECT_SAME(y, gather(constant(x.transpose(0, 1)), 1, index.transpose(0, 1)).value().transpose(0, 1).contiguous());
}

TEST(Gather, SaysWhatIsWrong) {
  const Variable x(Here::zeros({2, 3}));
  expect_error<IndexError>([&] { gather(x, 1, i64({0, 3}, {1, 2})); }, "gather: index 3");
  expect_error<IndexError>([&] { gather(x, 1, i64({0, -1}, {1, 2})); }, "outside [0, 3)");
  expect_error<IndexError>([&] { gather(x, 2, i64({0}, {1, 1})); }, "gather");
  expect_error<ShapeError>([&] { gather(x, 1, i64({0, 0, 0}, {3, 1})); }, "must not exceed x outside dimension 1");
  expect_error<ShapeError>([&] { gather(x, 1, i64({0}, {1})); }, "gather");
  expect_error<ShapeError>([&] { gather(constant(Here::scalar(1)), 0, i64({0}, {1})); }, "at least one dimension");
  expect_error<DTypeError>([&] { gather(x, 1, Here::zeros({2, 1})); }, "gather");
}

TEST(CudaGather, AsOnTheCpu) {
  // Few indices of a column are walked, many are sorted first, beyond 2048 in several chunks.
  const auto expect = [](const Shape& x, int64_t dim, const Shape& index_shape) {
    const Tensor index = indices_below(x[dim], index_shape);
    expect_parity([&](const std::vector<Variable>& in) { return gather(in[0], dim, index.to(in[0].value().device())); },
                  {x});
  };
  expect({3, 7}, 1, {3, 1});
  expect({2, 5, 33}, 1, {2, 64, 33});
  expect({2, 40, 3}, 1, {2, 65, 3});  // an element is read about twice: in bf16 the CPU rounds every sum
  expect({1, 3000}, 1, {1, 4500});
}

TEST(CudaGather, OperandsOfTwoDevicesAreRefused) {
  expect_one_device("gather", {{"x", {3}}, {"index", {3}, DType::kI64}},
                    [](const Tensors& t) { gather(Variable(t[0]), 0, t[1]); });
}

}  // namespace
}  // namespace terrace
