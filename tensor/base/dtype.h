// Element types: f32 bf16 f64 (arithmetic), f16 (storage and import only), i64 i32 u8 bool.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>

#include "tensor/base/error.h"
#include "tensor/base/host_device.h"

namespace terrace {

/// bfloat16: the upper half of a float. Converts from float by round-to-nearest-even; NaN stays NaN.
struct BFloat16 {
  uint16_t bits;
  BFloat16() = default;  // trivial, as memory that a block of threads shares must be
  TERRACE_HD BFloat16(float value) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet_nan = (u >> 16) | 0x40u;
    bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
#endif
  }
  TERRACE_HD operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// IEEE binary16, for storage and import; arithmetic happens after conversion to float.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  Float16(float value);
  operator float() const;
};

enum class DType : uint8_t { kF32, kBF16, kF64, kF16, kI64, kI32, kU8, kBool };

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};
template <class T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

/// The type sums are kept in: f64 for f64, f32 for f32 and bf16.
template <class T>
struct AccumulatorOf {
  using type = float;
};
template <>
struct AccumulatorOf<double> {
  using type = double;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

int64_t size_of(DType dtype);
const char* name_of(DType dtype);                // "f32"
DType dtype_from_name(const std::string& name);  // throws DTypeError
bool is_floating(DType dtype);
inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls f(TypeTag<T>{}) with the floating type of `dtype` that arithmetic is defined for (f32, bf16, f64).
template <class F>
decltype(auto) visit_floating(DType dtype, const char* op, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(TypeTag<float>{});
    case DType::kBF16:
      return f(TypeTag<BFloat16>{});
    case DType::kF64:
      return f(TypeTag<double>{});
    default:
      throw DTypeError(cat(op, ": needs f32, bf16 or f64, got ", dtype));
  }
}

/// Calls f(TypeTag<T>{}) with the C++ type of any dtype.
template <class F>
decltype(auto) visit_any(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(TypeTag<float>{});
    case DType::kBF16:
      return f(TypeTag<BFloat16>{});
    case DType::kF64:
      return f(TypeTag<double>{});
    case DType::kF16:
      return f(TypeTag<Float16>{});
    case DType::kI64:
      return f(TypeTag<int64_t>{});
    case DType::kI32:
      return f(TypeTag<int32_t>{});
    case DType::kU8:
      return f(TypeTag<uint8_t>{});
    case DType::kBool:
      return f(TypeTag<bool>{});
  }
  throw DTypeError("visit_any: corrupt dtype");
}

}  // namespace terrace
