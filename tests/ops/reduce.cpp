#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Inputs = std::vector<Variable>;
using Dims = std::vector<int64_t>;

struct Reduction {
  const char* name;
  Variable (*f)(const Variable&, const Dims&, KeepDim);
};
const Reduction kReductions[] = {{"sum", sum}, {"mean", mean}, {"max", max}};

TEST(ReductionOps, Gradcheck) {
  for (const Reduction& r : kReductions) {
    for (const Dims& dims : {Dims{}, Dims{0}, Dims{1}, Dims{-1}, Dims{0, 2}}) {
      for (KeepDim keep : {KeepDim::kNo, KeepDim::kYes}) {
        gradcheck(r.name, [&](const Inputs& in) { return r.f(in[0], dims, keep); },
                  {random_tensor({3, 4, 5}, 1, -1, 1, DType::kF64)});
      }
    }
  }
}

TEST(ReductionOps, GradientsOfBroadcastShapes) {
  const Variable x = random_leaf({2, 3}, 1);
  mean(x).backward();
  EXPECT_CLOSE(x.grad(), Here::full({2, 3}, 1.0 / 6), 1e-6);
}

TEST(ReductionOps, TiesOfMaxShareTheGradient) {
  const Variable x(Here::from(std::vector<float>{2, 1, 2, 2}, {4}), Requires::kGrad);
  max(x).backward();
  EXPECT_NEAR(sum(x.grad()).item<double>(), 1, 1e-6) << "the gradient is neither lost nor doubled";
}

TEST(ReductionOps, RefuseADimensionTwiceOrBeyond) {
  const Variable x(Here::zeros({2, 3}));
  expect_error<IndexError>([&] { sum(x, {2}); }, "sum");
  expect_error<Error>([&] { mean(x, {0, 0}); }, "mean");
  expect_error<ShapeError>([] { max(Variable(Here::zeros({0}))); }, "max");
}

TEST(ReductionOps, EmptyExtents) {
  const Variable x = random_leaf({0, 3}, 1);
  sum(x).backward();
  EXPECT_EQ(x.grad().shape(), Shape({0, 3}));
  EXPECT_EQ(sum(x, {0}).value().to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

}  // namespace
}  // namespace terrace
