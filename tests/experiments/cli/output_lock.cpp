// One process at a time writes into a folder, or to a file.
#include "experiments/cli/output_lock.h"

#include <sys/resource.h>

#include <filesystem>
#include <regex>

#include "data/files/atomic_file.h"
#include "tests/data/files/other_process.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

template <class F>
std::string error_of(const F& f) {
  try {
    f();
    return "";
  } catch (const ConfigError& error) { return error.what(); }
}

std::string holder(const OtherProcess& process) {
  return cat(" is being written by terrace_tests \\(process ", process.process(),
             ", since 20..-..-.. ..:..:.. UTC\\); wait until it has ended, or ");
}

TEST(OutputLock, OfAFolderTellsWhoHasIt) {
  const TemporaryFolder folder;
  const std::string out = folder / "runs/var";
  OtherProcess other([&] { new OutputLock(OutputLock::of_folder(out)); });
  EXPECT_EQ(names_in(out), "[.run.lock]");
  fs::create_directory_symlink(out, folder / "link");
  for (const std::string& name : {out, out + "/", folder / "link"}) {
    const std::string error = error_of([&] { OutputLock::of_folder(name); });
    EXPECT_TRUE(std::regex_match(error, std::regex(name + holder(other) + "give another folder with --out"))) << error;
  }
  EXPECT_EQ(names_in(out), "[.run.lock]") << "it is the other's";
  other.kill();
  EXPECT_EQ(names_in(out), "[.run.lock]");
  { OutputLock::of_folder(out); }
  EXPECT_EQ(names_in(out), "[]");
}

TEST(OutputLock, OfAFileLiesBesideIt) {
  const TemporaryFolder folder;
  const std::string file = folder / "a.npz";
  write_file(file, "x");
  fs::create_symlink(file, folder / "b.npz");
  OtherProcess other([&] { new OutputLock(OutputLock::of_file(file, "--npz")); });
  EXPECT_EQ(names_in(folder.path()), "[.a.npz.lock, a.npz, b.npz]");
  for (const auto& [option, way_out] :
       {std::pair{"--json", "give another name with --json"}, std::pair{"", "give another name"}}) {
    const std::string error = error_of([&] { OutputLock::of_file(folder / "b.npz", option); });
    EXPECT_TRUE(std::regex_match(error, std::regex((folder / "b.npz") + holder(other) + way_out))) << error;
  }
  { OutputLock::of_file(folder / "c.npz", ""); }
  EXPECT_EQ(error_of([&] { OutputLock::of_file(folder / "no/such/c.npz", ""); }), "") << "its writer says it";
  other.kill();
  { OutputLock::of_file(file, ""); }
  EXPECT_EQ(names_in(folder.path()), "[a.npz, b.npz]");
}

TEST(OutputLock, OfAFolderIsOneOfItsFiles) {
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = out + "/checkpoint.h5";
  OtherProcess other([&] { new OutputLock(OutputLock::of_folder(out)); });
  const std::string error = error_of([&] { OutputLock::of_file(file, ""); });
  EXPECT_NE(error.find(file + " lies in a folder that is being written by terrace_tests (process "), std::string::npos)
      << error;
  other.kill();
  { OutputLock::of_file(file, ""); }
  const OutputLock own = OutputLock::of_folder(out);
  { OutputLock::of_file(file, ""); }
}

/// A name that is in the way, as another user's lock file is, and one too long with ".lock" behind it.
TEST(OutputLock, ANoteTellsWhereItCannotBeTaken) {
  const TemporaryFolder folder;
  const std::string out = folder / "out", lock = out + "/.run.lock", long_name = folder / std::string(250, 'n');
  fs::create_directories(lock);
  testing::internal::CaptureStderr();
  { OutputLock::of_folder(out); }
  { OutputLock::of_file(long_name, "--npz"); }
  { OutputLock::of_file(folder / "no/such/file", ""); }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(cat(": note: ", out, ": its lock file ", lock,
                          " cannot be opened (Is a directory); a second "
                          "program that writes there is not noticed\n")),
            std::string::npos)
      << said;
  EXPECT_NE(said.find(".lock cannot be opened (File name too long); "), std::string::npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
  EXPECT_TRUE(fs::exists(lock));
}

TEST(OutputLock, IsNotGivenUpForWantOfDescriptors) {
  const TemporaryFolder folder;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  expect_error<IoError>([&] { OutputLock::of_file(folder / "a.npz", "--npz"); },
                        cat("cannot write ", folder / "a.npz", ": "));
  expect_error<IoError>([&] { OutputLock::of_folder(folder.path()); }, "/.run.lock: Too many open files");
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(OutputLock, IsTakenByOneOfMany) {
  const TemporaryFolder folder;
  const std::string out = folder / "out", held = folder / "held";
  const auto take_often = [&] {
    for (int round = 0; round < 20; ++round) {
      error_of([&] {
        const OutputLock lock = OutputLock::of_folder(out);
        if (!fs::create_directory(held)) { write_file(folder / "two", ""); }
        fs::remove(held);
      });
    }
  };
  std::vector<pid_t> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(fork());
    if (others.back() == 0) {
      try {
        take_often();
      } catch (...) { _exit(1); }
      _exit(0);
    }
  }
  for (const pid_t other : others) {
    int status = 0;
    EXPECT_EQ(waitpid(other, &status, 0), other);
    EXPECT_EQ(status, 0);
  }
  // The folder stays where another process has taken it over in the moment of its removal.
  if (fs::exists(out)) { EXPECT_EQ(names_in(out), "[]"); }
  fs::remove(out);
  EXPECT_EQ(names_in(folder.path()), "[]") << "one at a time";
}

}  // namespace
}  // namespace terrace
