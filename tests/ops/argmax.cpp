#include "autograd/ops/argmax.h"

#include <limits>

#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenArgmax, Positions) {
  for (const char* name : {"argmax", "argmax_ties"}) {
    const GoldenCase argmax_case(name);
    EXPECT_SAME(argmax(argmax_case.input("x")), argmax_case.output("y"));
  }
  const GoldenCase argmin_case("argmin");
  EXPECT_SAME(argmin(argmin_case.input("x")), argmin_case.output("y"));
}

TEST(ArgExtreme, TakesTheFirstOfEqualsAndTheFirstNaN) {
  const Tensor x = f32({1,    3,    3,    0,     0,     2,  //
                        kNaN, 9,    kNaN, -9,    9,     9,  //
                        kInf, kInf, 0,    -kInf, -kInf, 1, 0, -0.0F, 5, kNaN, kNaN, 7},
                       {4, 6});
  EXPECT_SAME(argmax(x), i64({1, 0, 0, 3}, {4}));
  EXPECT_SAME(argmin(x), i64({3, 0, 3, 3}, {4}));
  EXPECT_SAME(argmax(x.to(DType::kF64)), i64({1, 0, 0, 3}, {4}));
  EXPECT_SAME(argmin(x.to(DType::kBF16)), i64({3, 0, 3, 3}, {4}));
  EXPECT_SAME(argmax(i64({3, 1, 3, 7, 7, 0}, {2, 3}), 1), i64({0, 0}, {2}));
}

TEST(ArgExtreme, EveryDimension) {
  const Tensor x = random_tensor({5, 33, 300}, 1);
  for (int64_t dim = 0; dim < 3; ++dim) {
    const Tensor last = x.transpose(dim, 2), index = argmax(last, -1);
    const Tensor direct = argmax(x, dim);
    EXPECT_SAME(dim == 0 ? index.transpose(0, 1).contiguous() : index, direct);
  }
  EXPECT_EQ(argmin(Here::zeros({0, 4}), 1).shape(), Shape{0});
  expect_error<ShapeError>([] { argmax(Here::zeros({4, 0}), 1); }, "argmax: dimension 1 of x is empty");
  expect_error<IndexError>([] { argmin(Here::zeros({4}), 1); }, "argmin");
  expect_error<ShapeError>([] { argmin(Here::scalar(1)); }, "argmin");
}

TEST(CudaArgmax, AsOnTheCpu) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kI64}) {
    for (const Shape& shape : {Shape{3, 1, 1}, Shape{2, 31, 1}, Shape{4, 33, 5}, Shape{1, 2100, 1}}) {
      const Tensor x = dtype == DType::kI64 ? indices_below(5, shape) : crowded(shape, 2, dtype);
      expect_same_as_cpu([&](Device device) { return argmax(x.to(device), 1); });
      expect_same_as_cpu([&](Device device) { return argmin(x.to(device), 1); });
    }
  }
}

}  // namespace
}  // namespace terrace
