#include "nn/positional.h"

#include <cmath>

#include "tensor/pointwise.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr double kTableTolerance = 2e-6, kResizedTolerance = 1e-5;  // of positional.h5
const std::vector<int64_t> kSmall = {1, 2, 3, 4}, kOfficial = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};

TEST(Positional, GoldenTables) {
  const GoldenFile golden("positional.h5");
  for (const auto& [group, patch_nums, C] :
       {std::tuple{std::string("outputs/s0/"), kSmall, int64_t{64}}, {"outputs/s1/", kOfficial, 1024}}) {
    const Tensor expected = golden.read(group + "fixed1d");
    const auto first_rows = [n = expected.dim(0)](const Tensor& t) { return t.slice(0, 0, n); };
    EXPECT_NEAR_TENSOR(first_rows(pyramid_sinusoid_1d(patch_nums, C)), expected, kTableTolerance);
    EXPECT_NEAR_TENSOR(first_rows(pyramid_sinusoid_2d(patch_nums, C)), golden.read(group + "fixed2d"), kTableTolerance);
    EXPECT_NEAR_TENSOR(first_rows(pyramid_sinusoid_2d_scaled(patch_nums, C)), golden.read(group + "scaled2d"),
                       kTableTolerance);
  }
  const Tensor learned = golden.read("inputs/s0/learned");
  const Tensor mixed = add(scale(learned, 0.7), scale(pyramid_sinusoid_2d(kSmall, 64), 0.3));
  EXPECT_NEAR_TENSOR(mixed, golden.read("outputs/s0/mixed"), kTableTolerance);
}

TEST(Positional, GoldenResize) {
  const GoldenFile golden("positional.h5");
  const Tensor learned = golden.read("inputs/s0/learned");
  EXPECT_NEAR_TENSOR(resize_pyramid_table(learned, kSmall, {1, 2, 3, 5}), golden.read("outputs/resize/resized_0"),
                     kResizedTolerance);
  EXPECT_NEAR_TENSOR(resize_pyramid_table(learned, kSmall, {2, 3, 4, 6}), golden.read("outputs/resize/resized_1"),
                     kResizedTolerance);
  EXPECT_SAME(resize_pyramid_table(learned, kSmall, kSmall), learned);
}

TEST(Positional, RowsAndColumns) {
  const Tensor grid = sinusoid_2d({0.5, 2}, {1, 3, 4}, 8);
  EXPECT_EQ(grid.shape(), (Shape{6, 8}));
  const Tensor row = sinusoid_1d({2}, 4), column = sinusoid_1d({3}, 4);
  EXPECT_SAME(grid.slice(0, 4, 5).slice(1, 0, 4).contiguous(), row);
  EXPECT_SAME(grid.slice(0, 4, 5).slice(1, 4, 8).contiguous(), column);
  EXPECT_EQ(sinusoid_1d({}, 4).shape(), (Shape{0, 4}));
  // Far positions keep their digits: the angle is an f64.
  EXPECT_EQ(sinusoid_1d({1e6}, 2).to_vector<float>()[0], static_cast<float>(std::sin(1e6)));
}

TEST(Positional, SaysWhatDoesNotFit) {
  expect_error<ShapeError>([] { sinusoid_1d({1}, 3); }, "multiple of 2, got 3");
  expect_error<ShapeError>([] { sinusoid_2d({1}, {1}, 6); }, "multiple of 4, got 6");
  expect_error<ShapeError>([] { pyramid_sinusoid_2d({1, 0}, 8); }, "pyramid_sinusoid_2d: patch numbers");
  const Tensor table = Tensor::zeros({5, 8});
  expect_error<ShapeError>([&] { resize_pyramid_table(table, {1, 2}, {1, 2, 3}); }, "same number of scales");
  expect_error<ShapeError>([&] { resize_pyramid_table(table, {1, 3}, {1, 2}); }, "table");
}

}  // namespace
}  // namespace terrace
