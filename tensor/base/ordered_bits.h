// Floating-point numbers as words that sort like them, for sorts by key on the CPU and on devices.
#pragma once

#include <bit>
#include <cstdint>

#include "tensor/base/host_device.h"

namespace terrace {

/// A word whose order is that of the values: -0 equals 0, NaN is larger than everything.
TERRACE_HD inline uint32_t ordered_bits(float value) {
  if (value != value) { return 0xffffffffu; }
  const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
TERRACE_HD inline uint64_t ordered_bits(double value) {
  if (value != value) { return ~uint64_t{0}; }
  const uint64_t bits = std::bit_cast<uint64_t>(value + 0.0);
  return bits >> 63 ? ~bits : bits | (uint64_t{1} << 63);
}

}  // namespace terrace
