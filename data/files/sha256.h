// SHA-256 (FIPS 180-4), in pieces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace terrace {

class Sha256 {
 public:
  Sha256();
  void update(const void* bytes, size_t count);
  /// 64 hexadecimal digits of what has been given so far; more may follow.
  std::string hex() const;

 private:
  void block(const uint8_t* bytes);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_{};
  uint64_t length_ = 0;  // bytes
};

std::string sha256_hex(const void* bytes, size_t count);

}  // namespace terrace
