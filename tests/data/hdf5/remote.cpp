#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "data/files/atomic_file.h"
#include "data/hdf5/direct.h"
#include "data/hdf5/remote.h"
#include "tests/error_of.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;
using hdf5::DirectReader;
using hdf5::ObjectKind;
using hdf5::Reader;
using hdf5::RemoteReader;

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

/// Of all threads, zombies included.
std::vector<pid_t> children() {
  std::vector<pid_t> found;
  for (const fs::directory_entry& thread : fs::directory_iterator("/proc/self/task")) {
    std::ifstream list(thread.path() / "children");
    for (pid_t process = 0; list >> process;) { found.push_back(process); }
  }
  return found;
}

/// The children that `make` leaves.
std::vector<pid_t> new_children(const std::function<void()>& make) {
  const std::vector<pid_t> before = children();
  make();
  std::vector<pid_t> after = children();
  std::erase_if(after, [&](pid_t p) { return std::find(before.begin(), before.end(), p) != before.end(); });
  return after;
}

/// The child is left by its scope, as are all descriptors.
class NothingLeft {
 public:
  NothingLeft() : children_(children()), descriptors_(open_descriptors()) {}
  ~NothingLeft() {
    EXPECT_EQ(children(), children_);
    EXPECT_EQ(open_descriptors(), descriptors_);
  }
  NothingLeft(const NothingLeft&) = delete;
  NothingLeft& operator=(const NothingLeft&) = delete;

 private:
  std::vector<pid_t> children_;
  size_t descriptors_;
};

// --- Files ---

void write_example(const std::string& path) {
  Hdf5File out = Hdf5File::create(path);
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kU8, DType::kBool}) {
    out.write(cat("all/", name_of(dtype)), Tensor::arange(60).reshape({12, 5}).to(DType::kF32).to(dtype));
  }
  out.write("scalar", Tensor::scalar(2.5));
  out.write("empty", Tensor::zeros({0, 3}));
  // Pieces and blocks of several megabytes: one row, many rows, chunks that divide neither pieces nor rows.
  out.write("long row", random_tensor({1, 700001}, 1));
  out.write("rows", random_tensor({3001, 211}, 2));
  out.write("chunks", random_tensor({3001, 211}, 3), {.chunk_rows = 77, .compression = Compression::kGzip});
  out.write("large chunks", random_tensor({1300, 311}, 4), {.chunk_rows = 1000});
  out.write_strings("words", {"", "caf\xc3\xa9", std::string(3 << 20, 'x')});
  out.write_strings("none", {});
  out.make_group("group/in/group");
  out.write_attr_string("/", "text", "\xc3\xa4");
  out.write_attr_int("group", "count", int64_t{1} << 60);
  out.write_attr_double("rows", "rate", 0.1);
  out.commit();
}

std::unique_ptr<Reader> direct(const std::string& path) {
  const hdf5::Lock lock;
  return std::make_unique<DirectReader>(path, hdf5::open_unchecked(path), hdf5::Metadata::kDoubtful);
}

/// Reads everything; "" where that succeeds, else the first error.
std::string read_everything(const std::string& path) {
  return error_of([&] {
    const Hdf5File file = Hdf5File::open(path);
    const auto read_attributes = [&](const std::string& object) {
      for (const std::string& name : file.list_attrs(object)) {
        if (!error_of([&] { file.read_attr_string(object, name); }).empty()) { file.read_attr_double(object, name); }
      }
    };
    read_attributes("/");
    for (const std::string& group : file.list_groups()) { file.list(group); }
    for (const std::string& name : file.walk()) {
      read_attributes(name);
      const Hdf5DatasetInfo info = file.info(name);
      if (info.is_string) {
        file.read_strings(name);
      } else {
        file.read(name);
      }
    }
  });
}

TEST(RemoteHdf5, EveryCallGivesWhatItGivesInThisProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_example(path);
  fs::copy_file(path, folder / "b.h5");  // where a process has a file open, its forks cannot open the same one again
  const std::unique_ptr<Reader> here = direct(folder / "b.h5");
  const NothingLeft nothing_left;
  RemoteReader there(path);
  for (const char* name : {"/", "", "all", "all/f32", "/all/f32", "words", "missing", "missing/x", "all/f32/x"}) {
    EXPECT_EQ(there.kind_of(name), here->kind_of(name)) << name;
  }
  for (const char* group : {"/", "", "all", "group", "group/in/group"}) {
    EXPECT_EQ(there.list(group), here->list(group)) << group;
    EXPECT_EQ(there.walk(group), here->walk(group)) << group;
    EXPECT_EQ(there.list_attrs(group), here->list_attrs(group)) << group;
  }
  for (const std::string& name : here->walk("/")) {
    const Hdf5DatasetInfo info = here->info(name);
    EXPECT_EQ(there.info(name).is_string, info.is_string) << name;
    EXPECT_EQ(there.info(name).shape, info.shape) << name;
    if (info.is_string) {
      EXPECT_EQ(there.read_strings(name), here->read_strings(name)) << name;
      continue;
    }
    EXPECT_EQ(there.info(name).dtype, info.dtype) << name;
    EXPECT_SAME(there.read(name), here->read(name)) << name;
    if (info.shape.empty()) { continue; }
    const int64_t rows = info.shape[0];
    for (const auto& [begin, end] : {std::pair{int64_t{0}, rows}, {rows / 3, rows / 2}, {rows - rows / 4, rows}}) {
      EXPECT_SAME(there.read_rows(name, begin, end), here->read_rows(name, begin, end)) << name;
    }
  }
  EXPECT_EQ(there.read_attr_string("/", "text"), "\xc3\xa4");
  EXPECT_EQ(there.read_attr_int("group", "count"), int64_t{1} << 60);
  EXPECT_EQ(there.read_attr_double("rows", "rate"), 0.1);
  EXPECT_TRUE(there.has_attr("rows", "rate"));
  EXPECT_FALSE(there.has_attr("rows", "other"));
}

TEST(RemoteHdf5, ErrorsAreTheSame) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_example(path);
  const std::vector<std::function<void(Reader&)>> calls = {
      [](Reader& r) { r.read("row"); },
      [](Reader& r) { r.read("group"); },
      [](Reader& r) { r.read("words"); },
      [](Reader& r) { r.read_strings("rows"); },
      [](Reader& r) { r.read_rows("rows", 2, 3002); },
      [](Reader& r) { r.read_rows("rows", -1, 1); },
      [](Reader& r) { r.read_rows("scalar", 0, 1); },
      [](Reader& r) { r.info("group/x"); },
      [](Reader& r) { r.list("rows"); },
      [](Reader& r) { r.walk("missing"); },
      [](Reader& r) { r.list_attrs("missing"); },
      [](Reader& r) { r.read_attr_int("rows", "rate"); },
      [](Reader& r) { r.read_attr_string("rows", "rate"); },
      [](Reader& r) { r.read_attr_double("rows", "other"); },
  };
  std::vector<std::string> expected;
  for (const auto& call : calls) {
    expected.push_back(error_of([&] { call(*direct(path)); }));
    EXPECT_FALSE(expected.back().empty()) << expected.size();
  }
  RemoteReader there(path);
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(error_of([&] { calls[i](there); }), expected[i]);
  }
  EXPECT_EQ(there.read("rows").shape(), (Shape{3001, 211}));  // an error is not the end of it

  const NothingLeft nothing_left;
  write_file(folder / "text", "this is a text, and not a short one, but no HDF5 file");
  write_file(folder / "cut.h5", read_file(path).substr(0, 5000));
  for (const std::string& name : {std::string("text"), std::string("cut.h5"), std::string("missing"), std::string()}) {
    const std::string error = error_of([&] { direct(folder / name); });
    EXPECT_FALSE(error.empty()) << name;
    EXPECT_EQ(error_of([&] { RemoteReader reader(folder / name); }), error);
  }
}

TEST(RemoteHdf5, ThreadsWaitForEachOther) {
  const TemporaryFolder folder;
  write_example(folder / "a.h5");
  const NothingLeft nothing_left;
  RemoteReader reader(folder / "a.h5");
  const Tensor all = reader.read("rows");
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 25; ++i) {
        const int64_t row = 100 * i + static_cast<int64_t>(t);
        RemoteReader own(folder / "a.h5");  // a fork beside threads that allocate and read
        right[t] += absolute_error(reader.read_rows("rows", row, row + 1), own.read_rows("rows", row, row + 1)) == 0 &&
                    absolute_error(all.slice(0, row, row + 1), reader.read_rows("rows", row, row + 1)) == 0;
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(right, std::vector<int>(4, 25));
}

// --- The end of the process ---

TEST(RemoteHdf5, TheEndOfTheProcessIsAnErrorThatLasts) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_example(path);
  const std::pair<int, const char*> cases[] = {
      {SIGSEGV, "damaged HDF5 file: the HDF5 library crashed (segmentation fault) while "},
      {SIGABRT, "damaged HDF5 file: the HDF5 library crashed (aborted) while "},
      {SIGBUS, "damaged HDF5 file: the HDF5 library crashed (bus error) while "},
      {SIGFPE, "damaged HDF5 file: the HDF5 library crashed (arithmetic error) while "},
      {SIGPROF, "damaged HDF5 file: the HDF5 library did not come to an end while "},
      {SIGKILL, "the process that reads it was ended by signal 9 while "}};
  for (const auto& [number, text] : cases) {
    const NothingLeft nothing_left;
    std::unique_ptr<RemoteReader> reader;
    const std::vector<pid_t> process = new_children([&] { reader = std::make_unique<RemoteReader>(path); });
    ASSERT_EQ(process.size(), 1u);
    kill(process[0], number);
    const std::string error = cat("IoError cannot read ", path, ": ", text, "reading rows [1, 2) of dataset \"rows\"");
    EXPECT_EQ(error_of([&] { reader->read_rows("rows", 1, 2); }), error);
    EXPECT_EQ(error_of([&] { reader->kind_of("words"); }), error);
    EXPECT_EQ(kill(process[0], 0), -1) << "a zombie is left";
  }
}

TEST(RemoteHdf5, TheEndAmidAReadIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5File out = Hdf5File::create(path);
  out.write("x", Tensor::zeros({20000, 1000}));
  out.commit();
  const NothingLeft nothing_left;
  int ended_within = 0;
  for (int i = 0; i < 20; ++i) {
    std::unique_ptr<RemoteReader> reader;
    const std::vector<pid_t> process = new_children([&] { reader = std::make_unique<RemoteReader>(path); });
    ASSERT_EQ(process.size(), 1u);
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2 * i));
      kill(process[0], SIGSEGV);
    });
    const std::string error = error_of([&] { reader->read("x"); });
    killer.join();
    if (!error.empty()) {
      ++ended_within;
      EXPECT_EQ(error, cat("IoError cannot read ", path,
                           ": damaged HDF5 file: the HDF5 library crashed (segmentation fault) while reading dataset "
                           "\"x\""));
    }
  }
  EXPECT_GT(ended_within, 0);
}

TEST(RemoteHdf5, SignalsToAllProcessesOfAProgramDoNotEndIt) {
  const TemporaryFolder folder;
  write_example(folder / "a.h5");
  std::unique_ptr<RemoteReader> reader;
  const std::vector<pid_t> process = new_children([&] { reader = std::make_unique<RemoteReader>(folder / "a.h5"); });
  ASSERT_EQ(process.size(), 1u);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) { kill(process[0], number); }
  EXPECT_EQ(reader->kind_of("rows"), ObjectKind::kDataset);
}

TEST(RemoteHdf5, KeepsNoDescriptorAndEndsWithItsParent) {
  const TemporaryFolder folder;
  write_example(folder / "a.h5");
  const std::string report = folder / "report";
  int held[2];
  ASSERT_EQ(pipe(held), 0);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {  // dies without a word to its child, which holds the end of the pipe if it keeps descriptors
    const RemoteReader reader(folder / "a.h5");
    kill(getpid(), SIGKILL);
  }
  close(held[1]);
  char byte = 0;
  EXPECT_EQ(read(held[0], &byte, 1), 0);
  close(held[0]);
  EXPECT_EQ(waitpid(parent, nullptr, 0), parent);
}

TEST(RemoteHdf5, AForkOfTheOwnerReadsByAProcessOfItsOwn) {
  const TemporaryFolder folder;
  write_example(folder / "a.h5");
  RemoteReader reader(folder / "a.h5");
  const pid_t fork_of_owner = fork();
  ASSERT_GE(fork_of_owner, 0);
  if (fork_of_owner == 0) { _exit(reader.kind_of("rows") == ObjectKind::kDataset ? 0 : 1); }
  int status = -1;
  waitpid(fork_of_owner, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(reader.kind_of("rows"), ObjectKind::kDataset);
}

// --- Damaged files ---

/// What `prepare_data procedural --count 2 --test-count 1 --gzip` wrote before files had checksums.
std::string old_dataset() { return read_file((source_root() / "tests/data/hdf5/old_dataset.h5").string()); }

TEST(RemoteHdf5, ACrashOfTheLibraryIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  std::string bytes = old_dataset();
  EXPECT_EQ(bytes[1306], '\xff');
  bytes[1306] = '\xdf';  // HDF5 1.10.8: segmentation fault
  write_file(path, bytes);
  const NothingLeft nothing_left;
  const Hdf5File file = Hdf5File::open(path);
  EXPECT_EQ(error_of([&] { file.list(); }),
            cat("IoError cannot read ", path,
                ": damaged HDF5 file: the HDF5 library crashed (segmentation fault) while listing group \"/\""));
}

TEST(RemoteHdf5, AnEndlessReadIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  std::string bytes = old_dataset();
  EXPECT_EQ(bytes[2808], '\x47');
  bytes[2808] = '\xc7';  // HDF5 1.10.8: the global heap's objects follow each other without end
  write_file(path, bytes);
  const NothingLeft nothing_left;
  const Hdf5File file = Hdf5File::open(path);
  const std::string error = cat("IoError cannot read ", path,
                                ": damaged HDF5 file: the HDF5 library did not come to an end while reading attribute "
                                "\"kind\" of \"/\"");
  EXPECT_EQ(error_of([&] { file.read_attr_string("/", "kind"); }), error);
  EXPECT_EQ(error_of([&] { file.list(); }), error);
}

TEST(RemoteHdf5, DamagedMetadataIsReadOrRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5", whole = old_dataset();
  constexpr size_t kMetadataBytes = 16 << 10;
  constexpr int kMutants = 150;
  std::vector<size_t> used;  // what is 0 is mostly room that nothing uses
  for (size_t i = 0; i < kMetadataBytes; ++i) {
    if (whole[i] != 0) { used.push_back(i); }
  }
  std::mt19937 random(16);
  const NothingLeft nothing_left;
  int refused = 0;
  for (int i = 0; i < kMutants; ++i) {
    std::string bytes = whole;
    const size_t at = used[random() % used.size()];
    bytes[at] = static_cast<char>(i % 2 == 0 ? bytes[at] ^ (1 << random() % 8) : random() % 256);
    write_file(path, bytes);
    refused += read_everything(path).empty() ? 0 : 1;
  }
  write_file(path, whole);
  EXPECT_EQ(read_everything(path), "");
  EXPECT_GT(refused, kMutants / 4);
}

TEST(RemoteHdf5, OneNoteForAFileWithoutChecksums) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_file(path, old_dataset());
  testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) { Hdf5File::open(path); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            cat("terrace_tests: note: ", path, " has no checksums, being of another program or of an earlier version: ",
                "damage to its data goes unnoticed\n"));
}

}  // namespace
}  // namespace terrace
