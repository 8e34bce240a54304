// What tests of damaged files share: the bytes of a file with one bit changed.
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>

#include "tests/support.h"

namespace terrace {

inline std::string with_flipped_bit(std::string bytes, size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
  return bytes;
}

/// As write_file, but not flushed to the disk: for thousands of files.
inline void put_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Calls `read` with `bytes` in which one bit is changed, for every `step`-th bit. It must throw an IoError or give
/// what it gives of the bytes as they are. How often it threw.
inline int64_t expect_no_flip_to_pass(const std::string& bytes, size_t step,
                                      const std::function<std::string(const std::string&)>& read) {
  const std::string whole = read(bytes);
  int64_t refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; bit += step) {
    try {
      EXPECT_EQ(read(with_flipped_bit(bytes, bit)), whole) << "bit " << bit % 8 << " of byte " << bit / 8;
    } catch (const IoError&) { ++refused; }
  }
  return refused;
}

}  // namespace terrace
