// The checksum by which files tell that their bytes are what was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct XXH3_state_s;

namespace terrace {

/// XXH3, 64 bits, seed 0 (xxHash): about 20 GB/s from memory. It finds damage; it does not stop a forger.
uint64_t checksum(const void* bytes, size_t count);

/// 16 hexadecimal digits.
std::string checksum_digits(uint64_t checksum);

/// The checksum of the checksums (u64) of pieces of 256 KiB, which several threads compute. Each copies its pieces on
/// the way, unless `copy_to` is null, while they are in its cache.
uint64_t checksum_of_pieces(const void* bytes, size_t count, void* copy_to = nullptr);

/// The checksum of bytes that come in parts.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void update(const void* bytes, size_t count);
  uint64_t value() const;

 private:
  XXH3_state_s* state_;
};

}  // namespace terrace
