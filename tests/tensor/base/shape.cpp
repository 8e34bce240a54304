#include "tensor/base/shape.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(Shape, CountsPrintsAndGivesStrides) {
  EXPECT_EQ(Shape({2, 16, 768}).numel(), 2 * 16 * 768);
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ(Shape({3, 0, 2}).numel(), 0);
  EXPECT_EQ(cat(Shape{2, 16, 768}), "(2, 16, 768)");
  EXPECT_EQ(cat(Shape{}), "()");
  EXPECT_EQ(Shape({2, 3, 4}).contiguous_strides(), Shape({12, 4, 1}));
  EXPECT_EQ(Shape().contiguous_strides(), Shape());
}

TEST(Shape, BroadcastsByNumpysRule) {
  EXPECT_EQ(broadcast_shapes({2, 1, 3}, {4, 1}, "add"), Shape({2, 4, 3}));
  EXPECT_EQ(broadcast_shapes({}, {5, 7}, "add"), Shape({5, 7}));
  EXPECT_EQ(broadcast_shapes({1}, {0}, "add"), Shape({0}));
  EXPECT_EQ(broadcast_shapes({3, 1}, {3, 1}, "add"), Shape({3, 1}));
}

TEST(Shape, RefusesWhatDoesNotFitNamingOpAndBothShapes) {
  expect_error<ShapeError>([] { broadcast_shapes({2, 3}, {4, 3}, "mul"); }, "mul");
  expect_error<ShapeError>([] { broadcast_shapes({2, 3}, {4, 3}, "mul"); }, "(2, 3)");
  expect_error<ShapeError>([] { broadcast_shapes({2, 3}, {4, 3}, "mul"); }, "(4, 3)");
  expect_error<ShapeError>([] { broadcast_shapes({0}, {3}, "mul"); }, "(0,)");
}

TEST(Shape, NormalizesDimensions) {
  EXPECT_EQ(normalize_dim(-1, 3, "sum"), 2);
  EXPECT_EQ(normalize_dim(0, 3, "sum"), 0);
  expect_error<IndexError>([] { normalize_dim(3, 3, "sum"); }, "sum");
  expect_error<IndexError>([] { normalize_dim(-4, 3, "sum"); }, "-4");
  expect_error<IndexError>([] { normalize_dim(0, 0, "sum"); }, "sum");
}

}  // namespace
}  // namespace terrace
