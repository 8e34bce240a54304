// Printing; the expected texts are what numpy 2.4 gives for str().
#include <cmath>
#include <limits>

#include "tests/support.h"

namespace terrace {
namespace {

Tensor floats(const std::vector<float>& values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor doubles(const std::vector<double>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

TEST(Print, Integers) {
  EXPECT_EQ(cat(Tensor::arange(6).view({2, 3})), "[[0 1 2]\n [3 4 5]]");
  EXPECT_EQ(cat(Tensor::from(std::vector<int64_t>{-1, 10, 100}, {3})), "[ -1  10 100]");
  EXPECT_EQ(cat(Tensor::from(std::vector<uint8_t>{0, 255}, {2})), "[  0 255]");
}

TEST(Print, LargeIntegersAreExact) {
  const int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(cat(Tensor::from(std::vector<int64_t>{9007199254740993, least, most}, {3})),
            "[    9007199254740993 -9223372036854775808  9223372036854775807]");
  EXPECT_EQ(cat(Tensor::from(std::vector<int64_t>{4611686018427387905}, {})), "4611686018427387905");
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
  EXPECT_EQ(cat(doubles({1e8, 1.5})), "[1.0e+08 1.5e+00]");
  EXPECT_EQ(cat(floats({123456.789f, 0.25f}, {2})), "[1.2345679e+05 2.5000000e-01]");
  EXPECT_EQ(cat(doubles({1.0 / 3, 1e9})), "[3.33333333e-01 1.00000000e+09]");
}

TEST(Print, ExponentsAreAsWideAsTheWidest) {
  EXPECT_EQ(cat(doubles({1e-100, 1})), "[1.e-100 1.e+000]");
  EXPECT_EQ(cat(doubles({0, 1e-100, -1.5e10})), "[ 0.0e+000  1.0e-100 -1.5e+010]");
  EXPECT_EQ(cat(doubles({1e10, INFINITY, 0})), "[1.e+10    inf 0.e+00]");
  EXPECT_EQ(cat(doubles({NAN, 1e-10})), "[   nan 1.e-10]");
}

TEST(Print, DigitsBeyondTheEighthAreCutWithoutZerosBehind) {
  EXPECT_EQ(cat(doubles({0.100000001})), "[0.1]");
  EXPECT_EQ(cat(doubles({0.100000001, 0.25})), "[0.1  0.25]");
  EXPECT_EQ(cat(doubles({1e-8, 1.00000000001})), "[1.e-08 1.e+00]");
}

TEST(Print, HalfTypesShowTheDigitsTheyHold) {
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    EXPECT_EQ(cat(doubles({0.1, 0.3}).to(dtype)), "[0.1 0.3]") << dtype;
    EXPECT_EQ(cat(Tensor::scalar(0.1, dtype)), "0.1") << dtype;
  }
}

TEST(Print, BlocksAreSetApart) {
  EXPECT_EQ(cat(Tensor::arange(12, DType::kF64).view({2, 2, 3})),
            "[[[ 0.  1.  2.]\n  [ 3.  4.  5.]]\n\n [[ 6.  7.  8.]\n  [ 9. 10. 11.]]]");
}

TEST(Print, Scalars) {
  const auto f32 = [](double v) { return cat(Tensor::scalar(v)); };
  const auto f64 = [](double v) { return cat(Tensor::scalar(v, DType::kF64)); };
  EXPECT_EQ(f32(2.5), "2.5");
  EXPECT_EQ(f64(5), "5.0");
  EXPECT_EQ(f64(-0.0), "-0.0");
  EXPECT_EQ(f32(1.0 / 3), "0.33333334");
  EXPECT_EQ(f64(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(f64(0.0001), "0.0001");
  EXPECT_EQ(f64(1e-5), "1e-05");
  EXPECT_EQ(f64(123456789), "123456789.0");
  EXPECT_EQ(f64(1e16), "1e+16");
  EXPECT_EQ(f32(999999), "999999.0");
  EXPECT_EQ(f32(16777216), "1.6777216e+07");
  EXPECT_EQ(f64(NAN), "nan");
  EXPECT_EQ(f64(-INFINITY), "-inf");
  EXPECT_EQ(cat(Tensor::scalar(2049, DType::kF16)), "2.048e+03");
  EXPECT_EQ(cat(Tensor::scalar(7, DType::kI64)), "7");
  EXPECT_EQ(cat(Tensor::scalar(1, DType::kBool)), "True");
}

TEST(Print, EmptyTensors) {
  for (const Shape& shape : {Shape{0}, Shape{2, 0}, Shape{0, 3}, Shape{2, 3, 0}}) {
    EXPECT_EQ(cat(Tensor::zeros(shape)), "[]") << shape;
  }
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
