// Element types and the conversions between them.
#include "tensor/base/dtype.h"

#include <cmath>
#include <limits>

#include "tests/support.h"

namespace terrace {
namespace {

constexpr DType kAll[] = {DType::kF32, DType::kBF16, DType::kF64, DType::kF16,
                          DType::kI64, DType::kI32,  DType::kU8,  DType::kBool};

TEST(DType, NamesSizesAndKinds) {
  for (DType dtype : kAll) { EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype); }
  EXPECT_EQ(std::string(name_of(DType::kBF16)), "bf16");
  EXPECT_EQ(size_of(DType::kBF16), 2);
  EXPECT_EQ(size_of(DType::kI64), 8);
  EXPECT_EQ(size_of(DType::kBool), 1);
  EXPECT_TRUE(is_floating(DType::kF16));
  EXPECT_FALSE(is_floating(DType::kU8));
  expect_error<DTypeError>([] { dtype_from_name("f128"); }, "f128");
}

TEST(BFloat16, RoundsToNearestEven) {
  const auto round = [](float x) { return static_cast<float>(BFloat16(x)); };
  EXPECT_EQ(round(1.0f), 1.0f);
  EXPECT_EQ(round(1.0f + 0x1p-8f), 1.0f) << "a tie goes to the even neighbour";
  EXPECT_EQ(round(1.0f + 0x1.8p-7f), 1.0f + 0x1p-6f) << "a tie goes to the even neighbour";
  EXPECT_EQ(round(1.0f + 0x1.01p-8f), 1.0f + 0x1p-7f);
  EXPECT_EQ(round(-3.140625f), -3.140625f);
  EXPECT_TRUE(std::isinf(round(std::numeric_limits<float>::max()))) << "beyond the largest bf16";
  EXPECT_TRUE(std::isinf(round(std::numeric_limits<float>::infinity())));
  EXPECT_TRUE(std::isnan(round(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(round(std::bit_cast<float>(0x7f800001u)))) << "a NaN whose upper half is that of infinity";
}

TEST(Float16, KnownValues) {
  const auto bits = [](float x) { return Float16(x).bits; };
  EXPECT_EQ(bits(0.0f), 0x0000);
  EXPECT_EQ(bits(-0.0f), 0x8000);
  EXPECT_EQ(bits(1.0f), 0x3c00);
  EXPECT_EQ(bits(-2.0f), 0xc000);
  EXPECT_EQ(bits(65504.0f), 0x7bff);
  EXPECT_EQ(bits(65519.0f), 0x7bff);
  EXPECT_EQ(bits(65520.0f), 0x7c00) << "rounds to infinity";
  EXPECT_EQ(bits(0x1p-24f), 0x0001) << "the smallest subnormal";
  EXPECT_EQ(bits(0x1p-25f), 0x0000) << "a tie to even";
  EXPECT_EQ(bits(0x1.8p-24f), 0x0002) << "a tie to even";
  EXPECT_EQ(bits(0x1p-14f), 0x0400) << "the smallest normal";
  EXPECT_EQ(bits(1.0f + 0x1p-11f), 0x3c00) << "a tie to even";
  EXPECT_EQ(bits(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(bits(0x1.ffep-15f), 0x0400) << "the largest subnormal's upper neighbour";
}

TEST(Float16, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    Float16 h;
    h.bits = static_cast<uint16_t>(i);
    const float f = h;
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Float16(f))));
    } else {
      ASSERT_EQ(Float16(f).bits, h.bits) << std::hex << i;
    }
  }
}

TEST(TensorTo, ConvertsBetweenAllTypes) {
  const std::vector<double> numbers = {0, 1, 2, 3, 100, 7};
  for (DType from : kAll) {
    for (DType to : kAll) {
      const Tensor y = Tensor::from(numbers, {2, 3}).to(from).to(to);
      EXPECT_EQ(y.dtype(), to);
      const bool through_bool = from == DType::kBool || to == DType::kBool;
      const std::vector<double> expected = through_bool ? std::vector<double>{0, 1, 1, 1, 1, 1} : numbers;
      EXPECT_EQ(y.to_vector<double>(), expected) << from << " to " << to;
    }
  }
}

TEST(TensorTo, ConvertsViewsAndKeepsWhatIsAlreadyRight) {
  const Tensor x = random_tensor({31, 33}, 1);
  EXPECT_TRUE(x.to(DType::kF32).shares_storage_with(x));
  EXPECT_SAME(x.transpose(0, 1).to(DType::kF64), x.to(DType::kF64).transpose(0, 1));
  EXPECT_EQ(Tensor::from(std::vector<float>{1.9f, -1.9f}, {2}).to(DType::kI32).to_vector<int32_t>(),
            (std::vector<int32_t>{1, -1}));
  EXPECT_EQ(Tensor::full({2}, 0.1).to(DType::kBF16).to_vector<float>()[0], static_cast<float>(BFloat16(0.1f)));
}

TEST(TensorTo, LargeIntegersStayExact) {
  const std::vector<int64_t> large = {(int64_t{1} << 53) + 1, -(int64_t{1} << 62) - 3};
  const Tensor x = Tensor::from(large, {2});
  EXPECT_EQ(x.clone().to_vector<int64_t>(), large);
  Tensor y = Tensor::zeros({2}, DType::kI64);
  y.copy_(x);
  EXPECT_EQ(y.to_vector<int64_t>(), large);
}

}  // namespace
}  // namespace terrace
