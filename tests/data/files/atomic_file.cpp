#include "data/files/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/data/files/full_disk.h"
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

}  // namespace
}  // namespace terrace
