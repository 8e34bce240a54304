#include "autograd/ops/sort.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/gradcheck.h"
#include "autograd/ops/gather.h"
#include "tensor/random.h"
#include "tests/cuda/parity.h"
#include "tests/ops/elements.h"
#include "tests/ops/golden_case.h"

namespace terrace {
namespace {

TEST(GoldenSort, ValuesIndicesAndGradient) {
  const GoldenCase sort_case("sort");
  Variable x = sort_case.leaf("x");
  const ValuesAndIndices sorted = sort(x);
  EXPECT_SAME(sorted.indices, sort_case.output("indices"));
  sort_case.expect(sorted.values, {{"x", x}});
}

TEST(GoldenTopk, ValuesIndicesAndGradient) {
  const GoldenCase topk_case("topk");
  Variable x = topk_case.leaf("x");
  const ValuesAndIndices top = topk(x, 5);
  EXPECT_SAME(top.indices, topk_case.output("indices"));
  topk_case.expect(top.values, {{"x", x}});
}

/// Few distinct values, so that there are ties, and some NaN.
Tensor with_ties(const Shape& shape, uint64_t seed, DType dtype) {
  Generator g(seed);
  std::vector<float> values = randint(9, shape, g).to_vector<float>();
  for (float& v : values) { v = v == 8 ? kNaN : v == 7 ? -kInf : v; }
  return Here::from(values, shape).to(dtype);
}

std::vector<int64_t> stable_order(const std::vector<double>& row, SortOrder order) {
  std::vector<int64_t> index(row.size());
  std::iota(index.begin(), index.end(), 0);
  const auto below = [](double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; };
  std::stable_sort(index.begin(), index.end(), [&](int64_t i, int64_t j) {
    const double a = row[static_cast<size_t>(i)], b = row[static_cast<size_t>(j)];
    return order == SortOrder::kAscending ? below(a, b) : below(b, a);
  });
  return index;
}

TEST(Sort, IsStableWithNaNLargest) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
    for (int64_t extent : {0, 1, 2, 7, 31, 129, 1000}) {
      for (SortOrder order : {SortOrder::kAscending, SortOrder::kDescending}) {
        SCOPED_TRACE(cat(extent, " ", dtype));
        const Tensor x = with_ties({3, extent}, 7, dtype);
        const ValuesAndIndices sorted = sort(constant(x), order);
        for (int64_t r = 0; r < 3; ++r) {
          const std::vector<int64_t> expected = stable_order(x.select(0, r).to_vector<double>(), order);
          EXPECT_EQ(sorted.indices.select(0, r).to_vector<int64_t>(), expected);
        }
        EXPECT_SAME(sorted.values.value(), gather(constant(x), 1, sorted.indices).value());
      }
    }
  }
}

TEST(Topk, IsThePrefixOfTheDescendingOrder) {
  for (int64_t extent : {1, 2, 33, 1000}) {
    const Tensor x = with_ties({2, 3, extent}, 11, DType::kF32);
    const ValuesAndIndices sorted = sort(constant(x), SortOrder::kDescending);
    for (int64_t k : {int64_t{0}, int64_t{1}, extent / 2, extent}) {
      const ValuesAndIndices top = topk(constant(x), k);
      EXPECT_SAME(top.indices, sorted.indices.slice(2, 0, k).contiguous());
      EXPECT_SAME(top.values.value(), sorted.values.value().slice(2, 0, k).contiguous());
    }
  }
}

TEST(Topk, GradientsGoToThePositionsChosen) {
  std::vector<double> values;  // distinct, apart by more than any step of the check
  for (int64_t i = 0; i < 24; ++i) { values.push_back(0.1 * static_cast<double>(i * 7 % 24)); }
  const Tensor x = Here::from(values, {2, 12});
  gradcheck("topk", [](const std::vector<Variable>& in) { return topk(in[0], 4).values; }, {x});
  gradcheck("sort", [](const std::vector<Variable>& in) { return sort(in[0], SortOrder::kDescending).values; }, {x});
}

TEST(Topk, StridedInputsAndErrors) {
  const Tensor x = random_tensor({7, 5}, 1).transpose(0, 1);
  EXPECT_SAME(topk(constant(x), 3).indices, topk(constant(x.clone()), 3).indices);
  expect_error<IndexError>([&] { topk(constant(x), 8); }, "topk: k must be in [0, 7], got 8");
  expect_error<IndexError>([&] { topk(constant(x), -1); }, "got -1");
  expect_error<ShapeError>([&] { sort(constant(Here::scalar(1))); }, "sort: x must have at least one dimension");
  expect_error<DTypeError>([&] { sort(constant(Here::arange(3))); }, "sort");
}

TEST(CudaSort, AsOnTheCpu) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
    for (const Shape& shape : {Shape{3, 1}, Shape{2, 31}, Shape{2, 130}, Shape{1, 2048}, Shape{2, 6500}}) {
      const Tensor x = crowded(shape, 1, dtype);
      for (const SortOrder order : {SortOrder::kAscending, SortOrder::kDescending}) {
        expect_same_as_cpu([&](Device device) { return sort(Variable(x.to(device)), order).indices; });
      }
      expect_same_as_cpu([&](Device device) { return topk(Variable(x.to(device)), (shape[1] + 2) / 3).indices; });
    }
  }
  expect_parity([](const std::vector<Variable>& in) { return sort(in[0]).values; }, {{2, 300}});
  expect_parity([](const std::vector<Variable>& in) { return topk(in[0], 7).values; }, {{3, 130}});
}

}  // namespace
}  // namespace terrace
