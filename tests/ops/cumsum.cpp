#include "autograd/ops/cumsum.h"

#include "autograd/gradcheck.h"
#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenCumsum, ValueAndGradient) {
  const GoldenCase cumsum_case("cumsum");
  Variable x = cumsum_case.leaf("x");
  cumsum_case.expect(cumsum(x, -1), {{"x", x}});
}

TEST(Cumsum, EveryDimension) {
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{129}, Shape{2, 33, 3}, Shape{2, 0, 3}, Shape{3, 2, 300}}) {
    for (int64_t dim = 0; dim < shape.size(); ++dim) {
      SCOPED_TRACE(cat(shape, " dim ", dim));
      const Tensor x = random_tensor(shape, 1, 999, 1001);
      Tensor expected = x.to(DType::kF64).clone();
      for (int64_t i = 1; i < shape[dim]; ++i) {
        Tensor row = expected.select(dim, i);
        const Tensor before = expected.select(dim, i - 1).clone();
        const std::vector<double> a = row.to_vector<double>(), b = before.to_vector<double>();
        std::vector<double> sum(a.size());
        for (size_t n = 0; n < a.size(); ++n) { sum[n] = a[n] + b[n]; }
        row.copy_(Here::from(sum, row.shape()));
      }
      EXPECT_SAME(cumsum(constant(x), dim).value(), expected.to(DType::kF32));  // sums are kept in f64
      if (x.numel() > 0 && x.numel() < 300) {
        gradcheck("cumsum", [&](const std::vector<Variable>& in) { return cumsum(in[0], dim); },
                  {random_tensor(shape, 2, -1, 1, DType::kF64)});
      }
    }
  }
  expect_error<IndexError>([] { cumsum(constant(Here::zeros({2})), 1); }, "cumsum");
  expect_error<ShapeError>([] { cumsum(constant(Here::scalar(1)), 0); }, "cumsum");
  expect_error<DTypeError>([] { cumsum(constant(Here::arange(3)), 0); }, "cumsum");
}

TEST(CudaCumsum, AsOnTheCpu) {
  for (const Shape& shape : {Shape{1}, Shape{3, 33}, Shape{2, 129}, Shape{2, 2100}}) {
    expect_parity([](const std::vector<Variable>& in) { return cumsum(in[0], -1); }, {shape});
  }
  expect_parity([](const std::vector<Variable>& in) { return cumsum(in[0], 1); }, {{2, 9, 35}});
}

}  // namespace
}  // namespace terrace
