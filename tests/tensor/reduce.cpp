#include "tensor/reduce.h"

#include <cmath>
#include <limits>

#include "tensor/pointwise.h"
#include "tests/support.h"

namespace terrace {
namespace {

/// Sums x (A, B, C) over the dimensions whose flag is set, in double, keeping them as 1.
Tensor naive_sum(const Tensor& x, bool over_a, bool over_b, bool over_c) {
  const int64_t A = x.dim(0), B = x.dim(1), C = x.dim(2);
  const Shape shape{over_a ? 1 : A, over_b ? 1 : B, over_c ? 1 : C};
  std::vector<double> sums(static_cast<size_t>(shape.numel()));
  const std::vector<double> values = x.to_vector<double>();
  for (int64_t a = 0; a < A; ++a) {
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t c = 0; c < C; ++c) {
        const int64_t at = ((over_a ? 0 : a) * shape[1] + (over_b ? 0 : b)) * shape[2] + (over_c ? 0 : c);
        sums[static_cast<size_t>(at)] += values[static_cast<size_t>((a * B + b) * C + c)];
      }
    }
  }
  return Here::from(sums, shape);
}

TEST(Reduce, SumsOverEverySetOfDimensions) {
  for (const Shape& shape : {Shape{2, 7, 31}, Shape{33, 1, 129}, Shape{1, 129, 1}, Shape{3, 0, 2}}) {
    const Tensor x = random_tensor(shape, 1, 0, 1);
    for (int mask = 1; mask < 8; ++mask) {
      std::vector<int64_t> dims;
      for (int d = 0; d < 3; ++d) {
        if (mask >> d & 1) { dims.push_back(d); }
      }
      const Tensor expected = naive_sum(x, mask & 1, mask & 2, mask & 4);
      EXPECT_CLOSE(sum(x, dims, KeepDim::kYes), expected, 1e-6) << shape << " mask " << mask;
      EXPECT_CLOSE(sum(x.to(DType::kF64), dims, KeepDim::kYes), expected, 1e-14) << shape << " mask " << mask;
    }
    EXPECT_CLOSE(sum(x), naive_sum(x, true, true, true).reshape({}), 1e-6);
  }
}

TEST(Reduce, DropsDimensionsUnlessKept) {
  const Tensor x = random_tensor({2, 3, 5}, 2);
  EXPECT_EQ(sum(x, {1}).shape(), Shape({2, 5}));
  EXPECT_EQ(sum(x, {-1, 0}).shape(), Shape({3}));
  EXPECT_EQ(mean(x, {1}, KeepDim::kYes).shape(), Shape({2, 1, 5}));
  EXPECT_EQ(max(x).shape(), Shape());
}

// Means of n values in [-1, 1): the sum in f32 is off by less than n ulp / 2 of its largest partial sum, which is below
// n; the division adds half an ulp of the mean. Together (n + 1) 2^-24, in units of the values.
TEST(Reduce, MeansAreSumsOverCounts) {
  const Tensor x = random_tensor({2, 3, 5}, 2);
  const std::vector<double> sums = naive_sum(x, false, true, false).to_vector<double>();
  const std::vector<double> means = mean(x, {1}).to_vector<double>();
  ASSERT_EQ(means.size(), sums.size());
  for (size_t i = 0; i < sums.size(); ++i) { EXPECT_NEAR(means[i], sums[i] / 3, 4 * 0x1p-24) << i; }
  EXPECT_NEAR(mean(x).item<double>(), naive_sum(x, true, true, true).item<double>() / 30, 31 * 0x1p-24);
}

// The f64 result rounded to bf16, once: f32 sums are finer by 2^16, so that no element lands on the other side of a
// tie. A rounding in between, of the sums over the first of two separate dimensions, would move every fourth.
TEST(Reduce, Bf16ResultsAreRoundedOnce) {
  const Tensor x = random_tensor({3, 257, 65}, 8, 0, 1, DType::kBF16);
  for (int mask : {1, 2, 4, 5, 7}) {
    std::vector<int64_t> dims;
    for (int d = 0; d < 3; ++d) {
      if (mask >> d & 1) { dims.push_back(d); }
    }
    const Tensor exact = naive_sum(x, mask & 1, mask & 2, mask & 4);
    const double count = static_cast<double>(x.numel() / exact.numel());
    EXPECT_SAME(sum(x, dims, KeepDim::kYes), exact.to(DType::kBF16)) << "mask " << mask;
    EXPECT_SAME(mean(x, dims, KeepDim::kYes), scale(exact, 1 / count).to(DType::kBF16)) << "mask " << mask;
  }
  const Tensor gradient = sum_to(x, {257, 1});
  EXPECT_SAME(gradient, naive_sum(x, true, false, true).to(DType::kBF16).reshape({257, 1}));
}

TEST(Reduce, ViewsReduceLikeTheirCopies) {
  const Tensor x = random_tensor({31, 9, 33}, 3);
  for (const Tensor& view : {x.transpose(0, 2), x.slice(1, 1, 8, 3), x.permute({1, 2, 0})}) {
    for (int64_t dim : {0, 1, 2}) { EXPECT_CLOSE(sum(view, {dim}), sum(view.contiguous(), {dim}), 1e-6); }
    EXPECT_CLOSE(max(view, {1}), max(view.contiguous(), {1}), 0);
  }
}

TEST(Reduce, SumsStayAccurateWhereNaiveOnesDrift) {
  const Tensor x = Here::full({1 << 22}, 0.1);
  EXPECT_NEAR(sum(x).item<double>() / (1 << 22), static_cast<double>(0.1f), 2e-7)
      << "summing one by one would be off by 1e-3";
}

TEST(Reduce, MaximumPropagatesNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Here::from(std::vector<float>{1, nan, 3, -4, -5, -6}, {2, 3});
  const std::vector<float> rows = max(x, {1}).to_vector<float>();
  EXPECT_TRUE(std::isnan(rows[0]));
  EXPECT_EQ(rows[1], -4);
  EXPECT_TRUE(std::isnan(max(x).item<float>()));
  EXPECT_TRUE(has_nan(x));
  EXPECT_FALSE(has_nan(x.select(0, 1)));
  expect_error<ShapeError>([] { max(Here::zeros({3, 0}), {1}); }, "max");
}

TEST(Reduce, SumToIsTheReverseOfExpand) {
  const Tensor x = random_tensor({2, 7, 31}, 4);
  EXPECT_CLOSE(sum_to(x, {7, 1}), naive_sum(x, true, false, true).reshape({7, 1}), 1e-6);
  EXPECT_CLOSE(sum_to(x, {}), naive_sum(x, true, true, true).reshape({}), 1e-5);
  EXPECT_TRUE(sum_to(x, {2, 7, 31}).shares_storage_with(x));
  expect_error<ShapeError>([&] { sum_to(x, {3}); }, "(3,)");
}

TEST(Reduce, SquaredNorm) {
  const Tensor x = random_tensor({129, 33}, 5);
  double expected = 0;
  for (double v : x.to_vector<double>()) { expected += v * v; }
  EXPECT_NEAR(squared_norm(x), expected, 1e-7 * expected);
  EXPECT_NEAR(squared_norm(x.transpose(0, 1)), expected, 1e-7 * expected);
  EXPECT_EQ(squared_norm(Here::zeros({0})), 0);
}

TEST(Reduce, ThreadsDoNotMatter) {
  const int before = threads();
  const Tensor x = random_tensor({513, 1025}, 6);
  set_threads(1);
  const Tensor rows = sum(x, {1}), columns = sum(x, {0}), all = sum(x);
  const double norm = squared_norm(x);
  set_threads(2);
  EXPECT_SAME(sum(x, {1}), rows);
  EXPECT_SAME(sum(x, {0}), columns);
  EXPECT_SAME(sum(x), all);
  EXPECT_EQ(squared_norm(x), norm);
  set_threads(before);
}

}  // namespace
}  // namespace terrace
