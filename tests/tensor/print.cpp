// Printing; the expected texts are numpy's.
#include <cmath>

#include "tests/support.h"

namespace terrace {
namespace {

Tensor floats(const std::vector<float>& values, const Shape& shape) { return Tensor::from(values, shape); }

TEST(Print, Integers) {
  EXPECT_EQ(cat(Tensor::arange(6).view({2, 3})), "[[0 1 2]\n [3 4 5]]");
  EXPECT_EQ(cat(Tensor::from(std::vector<int64_t>{-1, 10, 100}, {3})), "[ -1  10 100]");
  EXPECT_EQ(cat(Tensor::from(std::vector<uint8_t>{0, 255}, {2})), "[  0 255]");
}

TEST(Print, Booleans) { EXPECT_EQ(cat(Tensor::from(std::vector<float>{1, 0}, {2}).to(DType::kBool)), "[ True False]"); }

TEST(Print, FloatsAreAlignedAtThePoint) {
  EXPECT_EQ(cat(floats({1.5, -2, 3.25}, {3})), "[ 1.5  -2.    3.25]");
  EXPECT_EQ(cat(floats({0.1f, 0.25f, 1.0f / 3}, {3})), "[0.1        0.25       0.33333334]");
  const float nan = std::nanf(""), inf = INFINITY;
  EXPECT_EQ(cat(floats({nan, inf, -inf, 1}, {4})), "[ nan  inf -inf   1.]");
}

TEST(Print, WideRangesInScientificNotation) {
  EXPECT_EQ(cat(floats({1e-8f, 1, 1e5f}, {3})), "[1.e-08 1.e+00 1.e+05]");
  EXPECT_EQ(cat(Tensor::from(std::vector<double>{1e8, 1.5}, {2})), "[1.0e+08 1.5e+00]");
}

TEST(Print, BlocksAreSetApart) {
  EXPECT_EQ(cat(Tensor::arange(12, DType::kF64).view({2, 2, 3})),
            "[[[ 0.  1.  2.]\n  [ 3.  4.  5.]]\n\n [[ 6.  7.  8.]\n  [ 9. 10. 11.]]]");
}

TEST(Print, ScalarsAndEmptyTensors) {
  EXPECT_EQ(cat(Tensor::scalar(2.5)), "2.5");
  EXPECT_EQ(cat(Tensor::zeros({0})), "[]");
}

TEST(Print, LongExtentsAreSummarised) {
  EXPECT_EQ(cat(Tensor::arange(2000)), "[   0    1    2 ... 1997 1998 1999]");
  const std::string matrix = cat(Tensor::arange(2000).view({40, 50}));
  EXPECT_EQ(matrix.substr(0, matrix.find('\n')), "[[   0    1    2 ...   47   48   49]");
  EXPECT_NE(matrix.find("\n ...\n"), std::string::npos);
}

TEST(Print, LongRowsAreWrapped) {
  const std::string text = cat(Tensor::arange(40));
  EXPECT_EQ(text,
            "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
            " 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39]");
}

TEST(Print, UndefinedTensorsSaySo) { EXPECT_NE(cat(Tensor()).find("undefined"), std::string::npos); }

}  // namespace
}  // namespace terrace
