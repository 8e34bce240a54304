// Philox4x32-10 (Salmon et al., 2011), for both sides: what tensor/random.h draws from, and kernels where they need the
// same numbers.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/base/host_device.h"

namespace terrace {

/// One block of four 32-bit words for a 128-bit counter and a 64-bit key.
TERRACE_HD inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

/// Draws 4 * block to 4 * block + 3 of a stream.
TERRACE_HD inline std::array<uint32_t, 4> draw_block(uint64_t seed, uint64_t stream, uint64_t block) {
  return philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
                     static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

/// A draw as a number in [0, 1), of 24 bits, which float and double hold.
TERRACE_HD inline double to_unit(uint32_t word) { return static_cast<double>(word >> 8) * 0x1p-24; }

/// Draw `index` of a stream in [0, 1).
TERRACE_HD inline double uniform_draw(uint64_t seed, uint64_t stream, uint64_t index) {
  return to_unit(draw_block(seed, stream, index / 4)[index % 4]);
}

}  // namespace terrace
