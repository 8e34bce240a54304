#include "data/files/descriptor.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "tests/support.h"

namespace terrace {
namespace {

bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }

TEST(Descriptor, IsClosedWithItsOwner) {
  int number = -1;
  {
    const Descriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = file.number();
    ASSERT_TRUE(file.valid());
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Descriptor, OfAMoveIsTheNewOwners) {
  Descriptor first(::open("/dev/null", O_RDONLY | O_CLOEXEC)), second(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int kept = first.number(), dropped = second.number();
  second = std::move(first);
  EXPECT_EQ(second.number(), kept);
  EXPECT_TRUE(is_open(kept));
  EXPECT_FALSE(is_open(dropped));
  const Descriptor third(std::move(second));
  EXPECT_EQ(third.number(), kept);
  EXPECT_TRUE(is_open(kept));
}

TEST(Descriptor, OfNoFileLeavesTheReason) {
  Descriptor none(::open("/nowhere/at/all", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(none.valid());
  EXPECT_TRUE(none.close());
}

}  // namespace
}  // namespace terrace
