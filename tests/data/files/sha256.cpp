#include "data/files/sha256.h"

#include "tests/support.h"

namespace terrace {
namespace {

std::string of(const std::string& text) { return sha256_hex(text.data(), text.size()); }

// The examples of FIPS 180-4's companion documents.
TEST(Sha256, PublishedExamples) {
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 300; ++i) { text += static_cast<char>(i * 7); }
  for (const size_t piece : {1u, 7u, 31u, 63u, 64u, 65u, 129u}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      const std::string part = text.substr(at, piece);
      hash.update(part.data(), part.size());
      EXPECT_EQ(hash.hex(), of(text.substr(0, at + part.size()))) << piece;
    }
  }
}

}  // namespace
}  // namespace terrace
