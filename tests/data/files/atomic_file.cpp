#include "data/files/atomic_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "tests/data/files/full_disk.h"
#include "tests/data/files/refused_call.h"
#include "tests/error_of.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

size_t files_in(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(AtomicFile, AppearsWhenCommitted) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  AtomicFile file(path);
  file.write("one ");
  file.write("two");
  EXPECT_FALSE(fs::exists(path));
  file.commit();
  EXPECT_EQ(read_file(path), "one two");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, WithoutCommitNothingIsLeftAndTheOldStays) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, KeepsEveryByte) {
  const TemporaryFolder folder;
  std::string content(200000, '\0');
  for (size_t i = 0; i < content.size(); ++i) { content[i] = static_cast<char>(i * 131 % 256); }
  write_file(folder / "b", content);
  EXPECT_EQ(read_file(folder / "b"), content);
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

TEST(AtomicFile, SaysWhyItCannotBeWritten) {
  const TemporaryFolder folder;
  const std::string missing = folder / "no/such/a.txt";
  expect_error<IoError>([&] { AtomicFile file(missing); }, "cannot write " + missing + ": No such file or directory");
  write_file(folder / "plain", "x");
  expect_error<IoError>([&] { AtomicFile file(folder / "plain/a.txt"); }, "Not a directory");
  expect_error<IoError>([&] { AtomicFile file(folder.path()); }, "cannot write " + folder.path() + ": Is a directory");
  expect_error<IoError>([&] { AtomicFile file("/dev/null"); }, "not a regular file");
  expect_error<IoError>([&] { AtomicFile file(""); }, "name is empty");
  expect_error<IoError>([&] { read_file(missing); }, "cannot read " + missing + ": No such file or directory");
}

TEST(AtomicFile, UnwritableFolder) {
  if (::geteuid() == 0) { GTEST_SKIP() << "needs a user whom permissions bind; this is root"; }
  const TemporaryFolder folder;
  const std::string closed = folder / "closed";
  fs::create_directory(closed);
  ::chmod(closed.c_str(), 0500);
  expect_error<IoError>([&] { AtomicFile file(closed + "/a"); }, "cannot write " + closed + "/a: Permission denied");
}

TEST(AtomicFile, FullDisk) {
  const TemporaryFolder folder;
  const std::string path = folder / "big";
  const FullDisk limit(100000);
  expect_error<IoError>([&] { write_file(path, std::string(300000, 'x')); },
                        "cannot write " + path + ": File too large");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

constexpr const char* kNoSeccomp = "calls cannot be refused here";

TEST(AtomicFile, LocksThatAreNeverToBeHadAreAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  const std::string said = said_by_fork([&]() -> std::string {
    ::alarm(20);  // the end of a loop without end
    if (!refuse_call(SYS_fcntl, 1, F_OFD_SETLK, EACCES)) { return kNoSeccomp; }
    return error_of([&] { AtomicFile file(path); });
  });
  if (said == kNoSeccomp) { GTEST_SKIP() << said; }
  EXPECT_EQ(said,
            "IoError cannot write " + path + ": another process has locked the new file beside it, 100 times in a row");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(AtomicFile, AFolderThatCannotBeFlushedIsAnErrorThatNamesWhatIsThere) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  write_file(path, "old");
  const std::string said = said_by_fork([&]() -> std::string {
    AtomicFile file(path);
    file.write("new");
    const int next = ::dup(0);  // the number that the folder gets, which is open when its turn comes
    ::close(next);
    if (!refuse_call(SYS_fsync, 0, static_cast<uint32_t>(next - 1), EIO)) { return kNoSeccomp; }
    return error_of([&] { file.commit(); });
  });
  if (said == kNoSeccomp) { GTEST_SKIP() << said; }
  EXPECT_EQ(said, "IoError cannot write " + path +
                      ": Input/output error: the new file is in place, but may be gone after a power cut");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

}  // namespace
}  // namespace terrace
