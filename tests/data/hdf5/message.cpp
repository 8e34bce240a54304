#include "data/hdf5/message.h"

#include <cstring>

#include "tests/support.h"

namespace terrace {
namespace {

using hdf5::Reply;

TEST(Hdf5Messages, AreReadAsTheyWereWritten) {
  Reply reply;
  reply.error = "e";
  reply.integer = -3;
  reply.real = 0.1;
  reply.extents = {4, 0, int64_t{1} << 60};
  reply.piece_bytes = 7;
  reply.strings = {"", "two", std::string(3000, 'x')};
  Reply read;
  ASSERT_TRUE(decode(encode(reply), read));
  EXPECT_EQ(read.error, reply.error);
  EXPECT_EQ(read.integer, reply.integer);
  EXPECT_EQ(read.real, reply.real);
  EXPECT_EQ(read.extents, reply.extents);
  EXPECT_EQ(read.piece_bytes, reply.piece_bytes);
  EXPECT_EQ(read.strings, reply.strings);
}

TEST(Hdf5Messages, ACountTakesNoMemoryBeforeItsItemsAreThere) {
  constexpr uint64_t kDeclared = 1 << 20;
  std::string bytes = encode(Reply{});  // ends with the count of strings, 0
  std::memcpy(bytes.data() + bytes.size() - sizeof(kDeclared), &kDeclared, sizeof(kDeclared));
  bytes += std::string(kDeclared * sizeof(uint64_t), '\xff');  // each as long as no message is
  Reply reply;
  EXPECT_FALSE(decode(bytes, reply));
  EXPECT_LT(reply.strings.capacity(), 10u);
}

}  // namespace
}  // namespace terrace
