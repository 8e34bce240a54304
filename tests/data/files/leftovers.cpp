// Files that were being written when their process was killed: removed by the next writer, those of the living never.
#include "data/files/leftovers.h"

#include <sys/stat.h>
#include <utime.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "data/files/atomic_file.h"
#include "tests/data/files/other_process.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

void leave(const std::string& path, std::time_t seconds_ago) {
  std::ofstream(path) << "left";  // not by write_file, which looks at a folder once in a process
  const utimbuf times{std::time(nullptr) - seconds_ago, std::time(nullptr) - seconds_ago};
  ASSERT_EQ(utime(path.c_str(), &times), 0);
}

/// Writes in another process, which has not looked at the folder yet.
void write_in_another_process(const std::string& path) {
  OtherProcess([&] { write_file(path, "whole"); });
}

TEST(Leftovers, OfAKilledWriterGoWhenTheSameFileIsWritten) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  for (int i = 0; i < 3; ++i) { leave_partial_file(folder / "b.h5"); }
  leave_partial_file(path);
  leave_partial_file(path);
  EXPECT_EQ(names_in(folder.path()).find("a.h5.partial-"), 1U) << names_in(folder.path());
  write_file(path, "whole");
  EXPECT_EQ(names_in(folder.path()).find("[a.h5, b.h5.partial-"), 0U) << names_in(folder.path());
  write_file(folder / "b.h5", "whole");
  EXPECT_EQ(names_in(folder.path()), "[a.h5, b.h5]");
}

TEST(Leftovers, OfTheLivingStay) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  OtherProcess writer([&] { new AtomicFile(path); });
  write_in_another_process(path);
  EXPECT_NE(names_in(folder.path()).find("a.h5.partial-"), std::string::npos);
  remove_leftovers_in(folder.path());
  EXPECT_NE(names_in(folder.path()).find("a.h5.partial-"), std::string::npos);
  writer.kill();
  write_in_another_process(path);
  EXPECT_EQ(names_in(folder.path()), "[a.h5]");
}

/// A process that was forked while the file was open writes it too.
TEST(Leftovers, OfAWriterWhoseForkLivesStay) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  pid_t fork_of_writer = 0;
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  OtherProcess writer([&] {
    new AtomicFile(path);
    fork_of_writer = fork();
    if (fork_of_writer == 0) {
      while (true) { pause(); }
    }
    ASSERT_EQ(write(told[1], &fork_of_writer, sizeof fork_of_writer), static_cast<ssize_t>(sizeof fork_of_writer));
  });
  ASSERT_EQ(read(told[0], &fork_of_writer, sizeof fork_of_writer), static_cast<ssize_t>(sizeof fork_of_writer));
  writer.kill();
  remove_leftovers_in(folder.path());
  EXPECT_NE(names_in(folder.path()), "[]");
  ::kill(fork_of_writer, SIGKILL);
  for (int i = 0; i < 500 && names_in(folder.path()) != "[]"; ++i) {
    usleep(10'000);
    remove_leftovers_in(folder.path());
  }
  EXPECT_EQ(names_in(folder.path()), "[]");
  close(told[0]);
  close(told[1]);
}

TEST(Leftovers, OfEarlierVersionsGoWhenTheirProcessIsDeadForAnHour) {
  const TemporaryFolder folder;
  pid_t dead = 0;
  {
    OtherProcess process([] {});
    dead = process.process();
  }
  leave(folder / cat("a.h5.partial-", dead, "-0"), 7200);
  leave(folder / cat("a.h5.partial-", dead, "-1"), 60);
  leave(folder / cat("a.h5.partial-", getpid(), "-0"), 7200);
  write_in_another_process(folder / "a.h5");
  EXPECT_EQ(names_in(folder.path()), cat("[a.h5, a.h5.partial-", std::min(cat(dead, "-1"), cat(getpid(), "-0")),
                                         ", a.h5.partial-", std::max(cat(dead, "-1"), cat(getpid(), "-0")), "]"));
}

/// Begun before the machine was started anew; this folder is on one of its own disks.
TEST(Leftovers, OfAnEarlierStartOfTheMachineGo) {
  const TemporaryFolder folder;
  leave(folder / "a.h5.partial-1-0123abcd-0", 0);
  write_in_another_process(folder / "a.h5");
  EXPECT_EQ(names_in(folder.path()), "[a.h5]");
}

TEST(Leftovers, AreToldByTheirNames) {
  const TemporaryFolder folder;
  for (const char* name : {"a.h5.partial", "a.h5.partial-", "a.h5.partial-notes", "a.h5.partial-12", "a.h5.partial-0-0",
                           "a.h5.partial-12-", "a.h5.partial-12-x-0", "a.h5.partial-12-0123ABCD-0", ".partial-12-0",
                           "a.h5.partial-12-0123abcd-x", "b.partial-1-0123abcd-0"}) {
    leave(folder / name, 7200);
  }
  fs::create_directory(folder / "a.h5.partial-1-0123abcd-0");
  fs::create_symlink(folder / "a.h5.partial", folder / "a.h5.partial-1-0123abcd-1");
  write_in_another_process(folder / "a.h5");
  const auto all = std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator());
  EXPECT_EQ(all, 14) << names_in(folder.path());
  EXPECT_TRUE(fs::is_directory(folder / "a.h5.partial-1-0123abcd-0"));
}

}  // namespace
}  // namespace terrace
