#include "data/formats/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "tensor/base/error.h"

namespace terrace {
namespace {

// An archive, from its first byte to its last. All numbers are little-endian; positions are within each record. Those
// that are not listed are not needed.
//
//   for each entry:
//     local header       0 u32 kLocalHeader, 26 u16 length of the name, 28 u16 length of the extra fields,
//                        30 name, extra fields
//     content            as it is, or deflated
//   directory, for each entry:
//     directory entry    0 u32 kDirectoryEntry, 8 u16 flags, 10 u16 method, 16 u32 CRC-32, 20 u32 bytes in the archive,
//                        24 u32 size, 28 u16 length of the name, 30 u16 of the extra fields, 32 u16 of the comment,
//                        42 u32 position of the local header, 46 name, extra fields, comment
//   with zip64:
//     zip64 end          0 u32 kEnd64, 32 u64 number of entries, 40 u64 bytes of the directory,
//                        48 u64 its position
//     zip64 locator      0 u32 kLocator64, 8 u64 position of the zip64 end
//   end                  0 u32 kEnd, 10 u16 number of entries, 12 u32 bytes of the directory, 16 u32 its position,
//                        22 comment
//
// A sequence of extra fields is: u16 id, u16 length, that many bytes.
constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr int64_t kLocalBytes = 30, kEntryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr int64_t kMaxComment = 0xffff;
constexpr uint32_t kIn64Bits = 0xffffffff;  // the number stands in the extra field
constexpr uint16_t kExtra64 = 1;            // the extra field that holds such numbers
constexpr uint16_t kStored = 0, kDeflated = 8, kEncrypted = 1;
// Deflate makes nothing more than 1032 times smaller.
constexpr int64_t kMaxRatio = 1032;
constexpr int64_t kMaxEntries = 1 << 20;

class DirectoryReader {
 public:
  explicit DirectoryReader(const MappedFile& file) : file_(file) {}

  std::vector<ZipEntry> read() {
    find_directory();
    std::vector<ZipEntry> entries;
    for (uint64_t i = 0; i < count_; ++i) { entries.push_back(next_entry()); }
    if (at_ != end_) { fail("damaged zip archive: its directory has more than the entries that are counted"); }
    std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
    for (ZipEntry& entry : entries) { find_content(entry); }
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw IoError(cat("cannot read ", file_.path(), ": ", why)); }
  [[noreturn]] void fail(const ZipEntry& entry, const std::string& why) const {
    fail(cat("damaged zip archive: entry \"", entry.name, "\" ", why));
  }

  /// Whether [offset, offset + bytes) lies in the file.
  bool within(uint64_t offset, int64_t bytes) const {
    const auto size = static_cast<uint64_t>(file_.size()), wanted = static_cast<uint64_t>(bytes);
    return offset <= size && wanted <= size - offset;
  }
  template <class T>
  T number(int64_t offset) const {
    T value;
    std::memcpy(&value, file_.data() + offset, sizeof value);
    return value;
  }

  void find_directory() {
    const int64_t last = file_.size() - kEndBytes;
    int64_t end = last;
    while (end >= 0 && end >= last - kMaxComment && number<uint32_t>(end) != kEnd) { --end; }
    if (end < 0 || end < last - kMaxComment) { fail("a zip archive without its directory, probably truncated"); }
    count_ = number<uint16_t>(end + 10);
    uint64_t begin = number<uint32_t>(end + 16), bytes = number<uint32_t>(end + 12);
    const int64_t locator = end - kLocatorBytes;
    if (locator >= 0 && number<uint32_t>(locator) == kLocator64) {
      const auto end64 = number<uint64_t>(locator + 8);
      if (!within(end64, kEnd64Bytes) || number<uint32_t>(static_cast<int64_t>(end64)) != kEnd64) {
        fail("damaged zip archive: its directory does not end where it should");
      }
      count_ = number<uint64_t>(static_cast<int64_t>(end64) + 32);
      bytes = number<uint64_t>(static_cast<int64_t>(end64) + 40);
      begin = number<uint64_t>(static_cast<int64_t>(end64) + 48);
    }
    if (count_ > static_cast<uint64_t>(kMaxEntries)) { fail(cat("more than ", kMaxEntries, " entries")); }
    if (!within(begin, 0)) { fail("damaged zip archive: its directory begins beyond the file"); }
    at_ = static_cast<int64_t>(begin);
    end_ = static_cast<int64_t>(begin + std::min<uint64_t>(bytes, static_cast<uint64_t>(file_.size())));
  }

  /// The entry at at_; its offset is that of the header before its content.
  ZipEntry next_entry() {
    if (!within(static_cast<uint64_t>(at_), kEntryBytes) || number<uint32_t>(at_) != kDirectoryEntry) {
      fail("damaged zip archive: its directory ends before its last entry");
    }
    const int64_t name = number<uint16_t>(at_ + 28), extra = number<uint16_t>(at_ + 30);
    const int64_t comment = number<uint16_t>(at_ + 32), begin = at_ + kEntryBytes;
    if (!within(static_cast<uint64_t>(begin), name + extra + comment)) {
      fail("damaged zip archive: its directory ends before its last entry");
    }
    ZipEntry entry;
    entry.name.assign(reinterpret_cast<const char*>(file_.data() + begin), static_cast<size_t>(name));
    const auto flags = number<uint16_t>(at_ + 8), method = number<uint16_t>(at_ + 10);
    if ((flags & kEncrypted) != 0) { fail(cat("entry \"", entry.name, "\" of the zip archive is encrypted")); }
    if (method != kStored && method != kDeflated) {
      fail(cat("entry \"", entry.name, "\" of the zip archive is compressed by method ", method,
               "; stored and deflated (8) ones are read"));
    }
    entry.deflated = method == kDeflated;
    entry.crc = number<uint32_t>(at_ + 16);
    uint64_t packed = number<uint32_t>(at_ + 20), size = number<uint32_t>(at_ + 24),
             offset = number<uint32_t>(at_ + 42);
    read_extra(entry, begin + name, extra, {&size, &packed, &offset});
    if (!within(offset, kLocalBytes)) { fail(entry, "begins beyond the file"); }
    if (!within(offset, static_cast<int64_t>(std::min<uint64_t>(packed, INT64_MAX)))) {
      fail(entry, cat("of ", packed, " bytes ends beyond the file"));
    }
    entry.offset = static_cast<int64_t>(offset);
    entry.packed = static_cast<int64_t>(packed);
    const uint64_t most = packed * static_cast<uint64_t>(entry.deflated ? kMaxRatio : 1);
    if (size > most) { fail(entry, cat("claims ", size, " bytes, which its ", packed, " bytes cannot hold")); }
    entry.size = static_cast<int64_t>(size);
    at_ = begin + name + extra + comment;
    return entry;
  }

  /// Those numbers of an entry that need 64 bits follow each other in one of its extra fields, in this order.
  void read_extra(const ZipEntry& entry, int64_t at, int64_t bytes, std::initializer_list<uint64_t*> numbers) const {
    const int64_t end = at + bytes;
    while (end - at >= 4) {
      const auto id = number<uint16_t>(at), length = number<uint16_t>(at + 2);
      at += 4;
      if (id == kExtra64) {
        const int64_t last = std::min<int64_t>(end, at + length);
        for (uint64_t* value : numbers) {
          if (*value != kIn64Bits) { continue; }
          if (last - at < 8) { fail(entry, "lacks its 64-bit sizes"); }
          *value = number<uint64_t>(at);
          at += 8;
        }
        return;
      }
      at += length;
    }
  }

  /// From the header before the content to the content.
  void find_content(ZipEntry& entry) const {
    if (number<uint32_t>(entry.offset) != kLocalHeader) { fail(entry, "does not begin where the directory says"); }
    const int64_t name = number<uint16_t>(entry.offset + 26), extra = number<uint16_t>(entry.offset + 28);
    const int64_t name_at = entry.offset + kLocalBytes;
    if (!within(static_cast<uint64_t>(name_at), name + extra)) { fail(entry, "begins beyond the file"); }
    const std::string_view same(reinterpret_cast<const char*>(file_.data() + name_at), static_cast<size_t>(name));
    if (same != entry.name) { fail(entry, "has another name before its content"); }
    entry.offset += kLocalBytes + name + extra;
    if (!within(static_cast<uint64_t>(entry.offset), entry.packed)) {
      fail(entry, cat("of ", entry.packed, " bytes ends beyond the file"));
    }
  }

  const MappedFile& file_;
  uint64_t count_ = 0;
  int64_t at_ = 0, end_ = 0;  // in the directory; where it ends
};

}  // namespace

std::vector<ZipEntry> read_zip_directory(const MappedFile& file) { return DirectoryReader(file).read(); }

}  // namespace terrace
