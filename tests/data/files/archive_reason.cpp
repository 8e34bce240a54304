#include "data/files/archive_reason.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(ArchiveReason, IsUnknownWhereTheLibraryHasNone) {
  archive* a = archive_read_new();
  EXPECT_EQ(archive_error_string(a), nullptr);
  EXPECT_EQ(archive_reason(a), "unknown reason");
  archive_set_error(a, -1, "no more");
  EXPECT_EQ(archive_reason(a), "no more");
  archive_read_free(a);
}

}  // namespace
}  // namespace terrace
