#include "data/files/checksum.h"

#include <algorithm>
#include <vector>

#include "tests/support.h"

namespace terrace {
namespace {

// XXH3's own test vectors: seed 0, and bytes that its generator makes (xxHash, tests/sanity_test.c).
TEST(Checksum, PublishedExamples) {
  std::vector<uint8_t> bytes(2367);
  uint64_t generator = 2654435761U;
  for (uint8_t& byte : bytes) {
    byte = static_cast<uint8_t>(generator >> 56);
    generator *= 11400714785074694797ULL;
  }
  EXPECT_EQ(checksum(bytes.data(), 0), 0x2D06800538D394C2ULL);
  EXPECT_EQ(checksum(bytes.data(), 1), 0xC44BDFF4074EECDBULL);
  EXPECT_EQ(checksum(bytes.data(), 6), 0x27B56A84CD2D7325ULL);
  EXPECT_EQ(checksum(bytes.data(), 2367), 0xCB37AEB9E5D361EDULL);
}

TEST(Checksum, PartsDoNotMatter) {
  const std::string text(100000, 'x');
  Checksum parts;
  for (size_t begin = 0, part = 1; begin < text.size(); begin += part, part = part * 3 + 1) {
    parts.update(text.data() + begin, std::min(part, text.size() - begin));
  }
  EXPECT_EQ(parts.value(), checksum(text.data(), text.size()));
}

TEST(Checksum, OfPiecesIsThatOfTheirChecksums) {
  for (const size_t count : {size_t{0}, size_t{5}, size_t{1} << 18, size_t{600'001}}) {
    std::string text(count, 'x'), copy(count, ' ');
    for (size_t i = 0; i < count; ++i) { text[i] = static_cast<char>(i * 2654435761U >> 13); }
    std::vector<uint64_t> pieces;
    for (size_t begin = 0; begin < count; begin += size_t{1} << 18) {
      pieces.push_back(checksum(text.data() + begin, std::min(count - begin, size_t{1} << 18)));
    }
    const uint64_t expected = checksum(pieces.data(), pieces.size() * sizeof(uint64_t));
    EXPECT_EQ(checksum_of_pieces(text.data(), count), expected);
    EXPECT_EQ(checksum_of_pieces(text.data(), count, copy.data()), expected);
    EXPECT_EQ(copy, text);
  }
  EXPECT_EQ(checksum_digits(0xab), "00000000000000ab");
}

TEST(Checksum, EveryBitCounts) {
  std::string text(3000, 'x');
  const uint64_t whole = checksum(text.data(), text.size());
  for (size_t i = 0; i < text.size(); i += 7) {
    text[i] = static_cast<char>(text[i] ^ (1 << (i % 8)));
    EXPECT_NE(checksum(text.data(), text.size()), whole) << i;
    text[i] = 'x';
  }
}

}  // namespace
}  // namespace terrace
