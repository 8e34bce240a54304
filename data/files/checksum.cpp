#include "data/files/checksum.h"

#include <xxh_x86dispatch.h>  // makes XXH3 take the instructions that the processor has: twice the speed of SSE2

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

namespace terrace {

uint64_t checksum(const void* bytes, size_t count) { return XXH3_64bits(bytes, count); }

std::string checksum_digits(uint64_t checksum) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64, checksum);
  return digits;
}

uint64_t checksum_of_pieces(const void* bytes, size_t count, void* copy_to) {
  constexpr size_t kPiece = size_t{1} << 18;
  const size_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<uint64_t> checksums(pieces);
#pragma omp parallel for schedule(static) if (pieces > 1)
  for (size_t i = 0; i < pieces; ++i) {
    const size_t begin = i * kPiece, size = std::min(kPiece, count - begin);
    const char* piece = static_cast<const char*>(bytes) + begin;
    checksums[i] = checksum(piece, size);
    if (copy_to != nullptr) { std::memcpy(static_cast<char*>(copy_to) + begin, piece, size); }
  }
  return checksum(checksums.data(), pieces * sizeof(uint64_t));
}

Checksum::Checksum() : state_(XXH3_createState()) {
  if (state_ == nullptr) { throw std::bad_alloc(); }
  XXH3_64bits_reset(state_);
}

Checksum::~Checksum() { XXH3_freeState(state_); }

void Checksum::update(const void* bytes, size_t count) { XXH3_64bits_update(state_, bytes, count); }

uint64_t Checksum::value() const { return XXH3_64bits_digest(state_); }

}  // namespace terrace
