// What is read where memory is not enough.
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <new>
#include <set>

#include "data/hdf5/direct.h"
#include "data/hdf5/remote.h"
#include "tests/data/files/refused_call.h"
#include "tests/error_of.h"
#include "tests/support.h"

namespace terrace {
namespace {

using hdf5::Handle;
using hdf5::ListedNames;
using hdf5::Lock;
using hdf5::ObjectKind;
using hdf5::RemoteReader;

/// Strings of one byte, packed: each takes 32 bytes in memory.
void write_many_strings(const std::string& path, hsize_t count) {
  const Lock lock;
  const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  const hsize_t chunk = hsize_t{1} << 20;
  const Handle properties(H5Pcreate(H5P_DATASET_CREATE)), space(H5Screate_simple(1, &count, nullptr));
  H5Pset_chunk(properties, 1, &chunk);
  H5Pset_deflate(properties, 1);
  const std::string bytes(count, 'x');
  const Handle dataset(H5Dcreate2(file, "words", H5T_C_S1, space, H5P_DEFAULT, properties, H5P_DEFAULT));
  ASSERT_GE(H5Dwrite(dataset, H5T_C_S1, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), 0);
}

/// The test program may have others: fixtures are read by such processes too.
std::set<pid_t> children() {
  std::ifstream list(cat("/proc/self/task/", getpid(), "/children"));
  std::set<pid_t> processes;
  for (pid_t process = -1; list >> process;) { processes.insert(process); }
  return processes;
}

TEST(RemoteHdf5, AfterTheEndOfMemoryAnotherProcessReads) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_many_strings(path, 9 << 20);
  const std::set<pid_t> others = children();
  RemoteReader reader(path);
  std::set<pid_t> begun = children();
  for (const pid_t other : others) { begun.erase(other); }
  ASSERT_EQ(begun.size(), 1u);
  const pid_t first = *begun.begin();
  EXPECT_EQ(error_of([&] { reader.read_strings("words"); }),
            cat("IoError cannot read ", path, ": out of memory while reading dataset \"words\": the HDF5 file is ",
                "damaged, or too large for this machine"));
  EXPECT_EQ(kill(first, 0), -1) << "the library's state is not known there";
  EXPECT_EQ(reader.kind_of(""), ObjectKind::kGroup);
  EXPECT_EQ(reader.list(""), std::vector<std::string>{"words"});
}

TEST(ListedNames, ThrowWhenTheLibraryHasReturned) {
  const std::string said = said_by_fork([]() -> std::string {
    const std::string large(64 << 20, 'n');
    const rlimit memory{large.size(), large.size()};  // less than is in use
    setrlimit(RLIMIT_AS, &memory);
    ListedNames names;
    if (names.add("small") != 0 || names.add(large.c_str()) != -1) { return "the iteration goes on"; }
    try {
      names.take();
    } catch (const std::bad_alloc&) { return "out of memory"; }
    return "nothing";
  });
  EXPECT_EQ(said, "out of memory");
  ListedNames names;
  for (const char* name : {"b", "a"}) { EXPECT_EQ(names.add(name), 0); }
  EXPECT_EQ(names.take(), (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace terrace
