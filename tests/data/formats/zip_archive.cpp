// Zip archives as bytes: their directories, in 32 and 64 bits, whole and damaged, and the CRC-32 of what they hold.
#include "data/formats/zip_archive.h"

#include <zlib.h>

#include <cstring>

#include "data/files/atomic_file.h"
#include "data/formats/npz.h"
#include "data/formats/open_tensor_file.h"
#include "tests/data/formats/weight_files.h"
#include "tests/support.h"

namespace terrace {
namespace {

template <class T>
std::string number(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string u16(int64_t value) { return number(static_cast<uint16_t>(value)); }
std::string u32(int64_t value) { return number(static_cast<uint32_t>(value)); }
std::string u64(int64_t value) { return number(static_cast<uint64_t>(value)); }

uint32_t crc_of(const std::string& content) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
}
std::string hexadecimal(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

/// What the directory of an archive of one entry says; by default the truth.
struct Said {
  int64_t flags = 0, method = 0, packed = -1, size = -1, offset = 0, entries = 1, directory = -1;
  std::string extra = {}, end64 = {};
};

constexpr char kContent[] = "twelve bytes";
constexpr int64_t kSize = sizeof kContent - 1;

/// An archive with the entry "a", which holds `packed`.
std::string archive(const Said& said = {}, const std::string& packed = kContent) {
  const auto size = static_cast<int64_t>(packed.size());
  const std::string local = "PK\3\4" + std::string(22, '\0') + u16(1) + u16(0) + "a" + packed;
  const std::string entry =
      "PK\1\2" + std::string(4, '\0') + u16(said.flags) + u16(said.method) + u32(0) + u32(crc_of(kContent)) +
      u32(said.packed < 0 ? size : said.packed) + u32(said.size < 0 ? kSize : said.size) + u16(1) +
      u16(static_cast<int64_t>(said.extra.size())) + std::string(10, '\0') + u32(said.offset) + "a" + said.extra;
  const auto begin = static_cast<int64_t>(local.size());
  return local + entry + said.end64 + "PK\5\6" + u32(0) + u16(said.entries) + u16(said.entries) +
         u32(static_cast<int64_t>(entry.size())) + u32(said.directory < 0 ? begin : said.directory) + u16(0);
}

ZipReader open_text(const std::string& text) {
  return ZipReader(MappedFile::lend("x.zip", std::as_bytes(std::span(text.data(), text.size()))));
}
std::string content_of(const ZipReader& zip, int64_t entry) {
  std::string content(static_cast<size_t>(zip.entries()[static_cast<size_t>(entry)].size), '\0');
  zip.check(entry);
  zip.read(entry, 0, reinterpret_cast<std::byte*>(content.data()), static_cast<int64_t>(content.size()));
  return content;
}
std::string deflated(const std::string& content) {
  std::string packed(compressBound(content.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
           content.size());
  return packed.substr(2, size - 6);  // without zlib's header and checksum
}

TEST(ZipFile, StoredAndDeflatedEntriesAreRead) {
  EXPECT_EQ(content_of(open_text(archive()), 0), kContent);
  EXPECT_EQ(content_of(open_text(archive({.method = 8}, deflated(kContent))), 0), kContent);
  EXPECT_EQ(content_of(open_text(archive() + "trailing bytes"), 0), kContent);
}

TEST(ZipFile, NumbersOf64Bits) {
  constexpr int64_t kElsewhere = 0xffffffff;
  const std::string sizes = u64(kSize) + u64(kSize), all = sizes + u64(0);
  Said said{.packed = kElsewhere, .size = kElsewhere, .extra = u16(7) + u16(3) + "abc" + u16(1) + u16(16) + sizes};
  EXPECT_EQ(content_of(open_text(archive(said)), 0), kContent);
  said.offset = kElsewhere;
  said.extra = u16(1) + u16(24) + all;
  const int64_t directory = 31 + kSize, end = directory + 46 + 1 + static_cast<int64_t>(said.extra.size());
  said.end64 = "PK\6\6" + u64(44) + u32(0) + u32(0) + u32(0) + u64(1) + u64(1) + u64(end - directory) + u64(directory) +
               "PK\6\7" + u32(0) + u64(end) + u32(1);
  said.entries = 0xffff;
  said.directory = kElsewhere;
  EXPECT_EQ(content_of(open_text(archive(said)), 0), kContent);

  said.extra = u16(1) + u16(16) + sizes;  // the third is missing
  expect_error<IoError>([&] { open_text(archive({.packed = kElsewhere, .offset = kElsewhere, .extra = said.extra})); },
                        "damaged zip archive: entry \"a\" ");
  said.end64.replace(60, 8, u64(1 << 20));
  expect_error<IoError>([&] { open_text(archive(said)); },
                        "cannot read x.zip: damaged zip archive: its directory does not end where it should");
}

TEST(ZipFile, SaysWhatIsWrongWithADirectory) {
  const std::string damaged = "cannot read x.zip: damaged zip archive: ", entry = damaged + "entry \"a\" ";
  const std::pair<std::string, std::string> cases[] = {
      {"PK\3\4", "cannot read x.zip: a zip archive without its directory, probably truncated"},
      {archive().substr(0, archive().size() - 22),
       "cannot read x.zip: a zip archive without its directory, probably truncated"},
      {archive({.flags = 1}), "cannot read x.zip: entry \"a\" of the zip archive is encrypted"},
      {archive({.method = 14}),
       "cannot read x.zip: entry \"a\" of the zip archive is compressed by method 14; stored and deflated (8) ones are "
       "read"},
      {archive({.packed = 1000}), entry + "of 1000 bytes ends beyond the file"},
      {archive({.packed = 100}), entry + "of 100 bytes ends beyond the file"},
      {archive({.size = 13}), entry + "claims 13 bytes, which its 12 bytes cannot hold"},
      {archive({.method = 8, .size = 1 << 20}), entry + "claims 1048576 bytes, which its 12 bytes cannot hold"},
      {archive({.offset = 5000}), entry + "begins beyond the file"},
      {archive({.offset = 1}), entry + "does not begin where the directory says"},
      {archive({.entries = 2}), damaged + "its directory ends before its last entry"},
      {archive({.directory = 1}), damaged + "its directory ends before its last entry"},
      {archive({.directory = 5000}), damaged + "its directory begins beyond the file"}};
  for (const auto& [text, error] : cases) {
    expect_error<IoError>([&, &text = text] { open_text(text); }, error);
  }
}

TEST(ZipFile, DeflatedBytesThatEndEarly) {
  const std::string packed = deflated(kContent), opening = "cannot read x.zip: damaged zip archive: entry \"a\": ";
  const auto error_of = [&](const std::string& bytes, int64_t size) {
    const std::string text = archive({.method = 8, .size = size}, bytes);
    return [text] { content_of(open_text(text), 0); };
  };
  expect_error<IoError>(error_of(packed.substr(0, packed.size() - 4), kSize), opening + "it ends after ");
  expect_error<IoError>(error_of(packed, kSize + 3), opening + "it ends after 12 bytes");
  expect_error<IoError>(error_of("\xff" + packed, kSize), opening + "invalid block type");
}

/// The text with the byte at `at` changed.
std::string flipped(std::string text, size_t at) {
  text[at] = static_cast<char>(text[at] ^ 0x10);
  return text;
}

TEST(ZipFile, AnotherCrcIsRefused) {
  std::string other = kContent;
  other[3] = static_cast<char>(other[3] ^ 0x10);
  const std::string error = "cannot read x.zip: damaged zip archive: entry \"a\" has the CRC-32 " +
                            hexadecimal(crc_of(other)) + ", the archive says " + hexadecimal(crc_of(kContent));
  const std::string stored = flipped(archive(), 31 + 3), packed = archive({.method = 8}, deflated(other));
  expect_error<IoError>([&] { content_of(open_text(stored), 0); }, error);
  expect_error<IoError>([&] { content_of(open_text(packed), 0); }, error);
}

/// The places of the directory's CRC fields, by the entries' names.
std::map<std::string, size_t> crc_fields(const std::string& zip) {
  std::map<std::string, size_t> places;
  for (size_t at = zip.find("PK\1\2"); at != std::string::npos; at = zip.find("PK\1\2", at + 4)) {
    uint16_t length;
    std::memcpy(&length, zip.data() + at + 28, 2);
    places[zip.substr(at + 46, length)] = at + 16;
  }
  return places;
}

// torch.serialization.set_crc32_options(False) writes 0 for every entry; torch.load never looks.
TEST(ZipFile, ACrcOfZeroIsOneThatNobodyComputed) {
  std::string zip = read_file(GoldenFile("pth_misc.pth").path());
  for (const auto& [name, at] : crc_fields(zip)) { zip.replace(at, 4, 4, '\0'); }
  const TensorFile file = open_tensor_bytes("x.pth", std::as_bytes(std::span(zip)));
  const TensorFile golden = open_tensor_file(GoldenFile("pth_misc.pth").path());
  for (const TensorEntry& entry : golden.entries()) { EXPECT_SAME(file.read(entry.name), golden.read(entry.name)); }
  std::string stored = archive();
  stored.replace(crc_fields(stored).at("a"), 4, 4, '\0');
  EXPECT_EQ(content_of(open_text(flipped(stored, 31)), 0), "d" + std::string(kContent + 1));
}

// One byte of each storage changed: the description is read as ever, the tensors of that storage are refused.
TEST(ZipFile, AFlippedByteOfWeightsIsFoundWhereTheyAreRead) {
  const std::string whole = read_file(GoldenFile("pth_misc.pth").path());
  const auto map = MappedFile::lend("x.pth", std::as_bytes(std::span(whole)));
  int64_t storages = 0;
  for (const ZipEntry& entry : read_zip_directory(*map)) {
    if (entry.name.find("/data/") == std::string::npos || entry.size == 0) { continue; }
    ++storages;
    const std::string other = flipped(whole, static_cast<size_t>(entry.offset + entry.size / 2));
    const TensorFile file = open_tensor_bytes("x.pth", std::as_bytes(std::span(other)));
    expect_error<IoError>([&] { read_everything(file); },
                          cat("cannot read x.pth: damaged zip archive: entry \"", entry.name, "\" has the CRC-32 "));
    int64_t refused = 0;
    for (const TensorEntry& tensor : file.entries()) {
      try {
        file.read(tensor.name);
      } catch (const IoError&) { ++refused; }
    }
    EXPECT_GE(refused, 1) << entry.name;
    EXPECT_LT(refused, static_cast<int64_t>(file.entries().size())) << entry.name << ": the others are whole";
  }
  EXPECT_GT(storages, 5);
}

TEST(ZipFile, AFlippedByteOfADescriptionIsFoundAtOnce) {
  const std::string whole = read_file(GoldenFile("pth_misc.pth").path());
  const auto map = MappedFile::lend("x.pth", std::as_bytes(std::span(whole)));
  int64_t found = 0;
  for (const ZipEntry& entry : read_zip_directory(*map)) {
    if (!entry.name.ends_with("data.pkl")) { continue; }
    ++found;
    const std::string other = flipped(whole, static_cast<size_t>(entry.offset + entry.size / 2));
    expect_error<IoError>([&] { open_tensor_bytes("x.pth", std::as_bytes(std::span(other))); },
                          cat("entry \"", entry.name, "\" has the CRC-32 "));
  }
  EXPECT_EQ(found, 1);
}

TEST(ZipFile, AFlippedByteOfAnArrayIsFound) {
  const TemporaryFolder folder;
  NpzWriter npz(folder / "x.npz");
  npz.begin("arr_0", DType::kU8, {1000, 100});
  npz.append(random_tensor({1000, 100}, 1, 0, 256).to(DType::kU8));
  npz.commit();
  const std::string whole = read_file(folder / "x.npz");
  for (const size_t at : {size_t{200}, whole.size() / 2}) {
    write_file(folder / "y.npz", flipped(whole, at));
    const TensorFile file = open_tensor_file(folder / "y.npz");
    EXPECT_EQ(file.entry("arr_0").shape, (Shape{1000, 100}));
    for (int i = 0; i < 2; ++i) {  // the rows are whole, their array is not
      expect_error<IoError>(
          [&] { file.read_rows("arr_0", 990, 991); },
          cat("cannot read ", folder / "y.npz", ": damaged zip archive: entry \"arr_0.npy\" has the CRC-32 "));
    }
  }
}

// Larger than the pieces that a check passes over, and not a multiple of them or of their parts.
TEST(ZipFile, TheCrcOfALargeEntry) {
  const TemporaryFolder folder;
  std::string content(size_t{37'000'001}, '\0');
  for (size_t i = 0; i < content.size(); ++i) { content[i] = static_cast<char>(i * 2654435761U >> 13); }
  ZipWriter writer(folder / "x.zip");
  writer.begin("large", static_cast<int64_t>(content.size()));
  writer.write(content.data(), static_cast<int64_t>(content.size()));
  writer.commit();
  const ZipReader zip(MappedFile::open(folder / "x.zip"));
  ASSERT_EQ(zip.entries()[0].crc, crc_of(content));
  EXPECT_TRUE(content_of(zip, 0) == content);
  std::string other = read_file(folder / "x.zip");
  const auto last = static_cast<size_t>(zip.entries()[0].offset + zip.entries()[0].size - 1);
  write_file(folder / "x.zip", flipped(other, last));
  const ZipReader damaged(MappedFile::open(folder / "x.zip"));
  expect_error<IoError>([&] { damaged.check(0); }, cat("entry \"large\" has the CRC-32 ",
                                                       hexadecimal(crc_of(flipped(content, content.size() - 1))),
                                                       ", the archive says ", hexadecimal(crc_of(content))));
}

}  // namespace
}  // namespace terrace
