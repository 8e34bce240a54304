// Inputs of the tests of ops that choose elements: tensors of given values, and tensors with equal elements.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support.h"

namespace terrace {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

inline Tensor f32(const std::vector<float>& values, const Shape& shape) { return Here::from(values, shape); }
inline Tensor i64(const std::vector<int64_t>& values, const Shape& shape) { return Here::from(values, shape); }
inline Tensor u8(const std::vector<uint8_t>& values, const Shape& shape) { return Here::from(values, shape); }
inline Variable constant(const Tensor& t) { return Variable(t); }

/// Few different values, so that many are equal; some NaN, -0, -inf.
inline Tensor crowded(const Shape& shape, uint64_t seed, DType dtype = DType::kF32) {
  const Tensor x = random_tensor(shape, seed, -3, 3);
  float* values = x.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    values[i] = std::round(values[i]);
    if (i % 37 == 5) { values[i] = NAN; }
    if (i % 41 == 6) { values[i] = -0.0f; }
    if (i % 43 == 7) { values[i] = -INFINITY; }
  }
  return x.to(dtype);
}

/// i64 in [0, bound).
inline Tensor indices_below(int64_t bound, const Shape& shape) {
  Tensor index = Tensor::empty(shape, DType::kI64);
  for (int64_t i = 0; i < index.numel(); ++i) { index.data<int64_t>()[i] = (i * 13 + i / 29 + 3) % bound; }
  return index;
}

}  // namespace terrace
