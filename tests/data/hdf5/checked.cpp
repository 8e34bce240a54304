// Files whose blocks have checksums: what is damaged is refused, wherever the damage is, and never changes a value.
#include <sstream>

#include "data/files/atomic_file.h"
#include "data/hdf5/file.h"
#include "data/hdf5/trailer.h"
#include "tests/support.h"

namespace terrace {
namespace {

constexpr int64_t kRows = 700;

Tensor rows() { return random_tensor({kRows, 50}, 3); }

/// Plain, chunked and packed numbers, texts, groups and attributes, over some ten blocks.
void write_sample(const std::string& path) {
  Hdf5File file = Hdf5File::create(path);
  file.write_attr_string("/", "about", std::string(300, 'a'));
  file.write("model/weight", rows());
  file.write("model/bias", random_tensor({7}, 4));
  file.write("packed", rows().to(DType::kBF16), {.chunk_rows = 64, .compression = Compression::kGzip});
  file.create_rows("log", {3}, DType::kI64, {.chunk_rows = 16});
  for (int64_t i = 0; i < 40; ++i) {
    file.append_rows("log", Tensor::full({2, 3}, static_cast<double>(i), DType::kI64));
  }
  file.write_strings("names", {"one", "two", "three"});
  file.commit();
}

/// Everything in the file as text, read by every operation.
std::string all_of(const std::string& path) {
  const Hdf5File file = Hdf5File::open(path);
  std::ostringstream out;
  for (const std::string& name : file.list_attrs("/")) { out << name << '\n'; }
  out << file.read_attr_string("/", "about") << file.has("model/none") << file.has("names/none");
  for (const std::string& name : file.walk()) {
    const Hdf5DatasetInfo info = file.info(name);
    out << name << info.shape << info.dtype << file.has_attr(name, "dtype");
    if (info.is_string) {
      for (const std::string& text : file.read_strings(name)) { out << text << ' '; }
      continue;
    }
    const Tensor whole = file.read(name);
    out.write(static_cast<const char*>(whole.raw_data()), whole.numel() * size_of(whole.dtype()));
    if (info.shape[0] > 5) { EXPECT_SAME(file.read_rows(name, 2, 5), whole.slice(0, 2, 5)) << name; }
  }
  return out.str();
}

TEST(CheckedHdf5, EveryFlippedBitIsRefusedOrMeansNothing) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5", damaged = folder / "damaged.h5";
  write_sample(path);
  const std::string bytes = read_file(path), expected = all_of(path);
  int64_t refused = 0, tried = 0;
  for (size_t at = 0; at < bytes.size(); at += 1 + at % 397, ++tried) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (tried % 8)));
    write_file(damaged, changed);
    try {
      EXPECT_EQ(all_of(damaged), expected) << "byte " << at;
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(tried, 1000);
  EXPECT_EQ(refused, tried) << "every block is read by all_of";
}

TEST(CheckedHdf5, EveryLengthIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5", cut = folder / "cut.h5";
  write_sample(path);
  const std::string bytes = read_file(path);
  for (size_t length = 1; length < bytes.size(); length += 1 + length % 4093) {
    write_file(cut, bytes.substr(0, length));
    EXPECT_THROW(all_of(cut), IoError) << length;
  }
  for (const size_t missing : {size_t{1}, size_t{8}, size_t{31}, size_t{32}, size_t{33}}) {
    write_file(cut, bytes.substr(0, bytes.size() - missing));
    expect_error<IoError>([&] { Hdf5File::open(cut); },
                          "cannot read " + cut +
                              ": damaged: its checksums are missing; it was cut short, or changed by another program "
                              "(then remove the attribute terrace_checksums of its root)");
  }
  write_file(cut, bytes + "x");
  EXPECT_THROW(Hdf5File::open(cut), IoError);
}

TEST(CheckedHdf5, ErrorsNameTheBytes) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5File file = Hdf5File::create(path);
  file.write("x", random_tensor({200000}, 1));
  file.commit();
  std::string bytes = read_file(path);
  bytes[400000] = static_cast<char>(~bytes[400000]);
  write_file(path, bytes);
  const Hdf5File damaged = Hdf5File::open(path);
  expect_error<IoError>([&] { damaged.read("x"); },
                        path + ": cannot read dataset \"x\": damaged: bytes [393216, 409600) are not what was written");
  EXPECT_EQ(damaged.read_rows("x", 100, 200).numel(), 100) << "another block";
  bytes[bytes.size() - 20] = static_cast<char>(~bytes[bytes.size() - 20]);
  write_file(path, bytes);
  expect_error<IoError>([&] { Hdf5File::open(path); },
                        "cannot read " + path + ": damaged: the checksums at its end are not what was written");
}

TEST(CheckedHdf5, DamagedMetadataIsNotAnAbsentObject) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5File file = Hdf5File::create(path);
  file.write("first", random_tensor({20000}, 1));
  for (int i = 0; i < 100; ++i) { file.write(cat("group/", i), random_tensor({200}, 1)); }
  file.commit();
  const std::string bytes = read_file(path);
  int64_t refused = 0;
  for (size_t at = 5; at < bytes.size(); at += hdf5::kBlockBytes) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(~changed[at]);
    write_file(path, changed);
    for (int i = 0; i < 100; ++i) {
      try {
        const Hdf5File damaged = Hdf5File::open(path);
        EXPECT_TRUE(damaged.has(cat("group/", i)));
        EXPECT_TRUE(damaged.is_dataset(cat("group/", i)));
        EXPECT_FALSE(damaged.has_attr(cat("group/", i), "dtype"));
        EXPECT_EQ(damaged.list("group").size(), 100u);
        EXPECT_EQ(damaged.info(cat("group/", i)).shape, Shape{200});
      } catch (const IoError&) { ++refused; }
    }
  }
  EXPECT_GT(refused, 300);
}

TEST(CheckedHdf5, OneFileTwiceAndOneThatWasReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_sample(path);
  const Hdf5File first = Hdf5File::open(path), second = Hdf5File::open(path);
  Hdf5File other = Hdf5File::create(path);
  other.write("model/weight", Tensor::zeros({3}));
  other.commit();
  EXPECT_EQ(Hdf5File::open(path).read("model/weight").numel(), 3);
  EXPECT_SAME(first.read("model/weight"), rows()) << "the file that was opened";
  EXPECT_SAME(second.read("model/weight"), rows());
}

TEST(CheckedHdf5, AChangedFileLoadsWithoutTheMark) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_sample(path);
  const std::string expected = all_of(path);
  std::string bytes = read_file(path);
  // Another program drops the trailer when it changes the file; it would remove the attribute by name as well.
  const size_t mark = bytes.find(hdf5::kChecksumMark);
  ASSERT_NE(mark, std::string::npos);
  bytes[mark] = 'T';
  bytes.resize(bytes.size() - 32);
  write_file(path, bytes);
  EXPECT_EQ(all_of(path).size(), expected.size());
}

}  // namespace
}  // namespace terrace
