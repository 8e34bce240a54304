// Zip archives for tensor files: entries that are stored as they are can be read where they lie in the file, compressed
// ones are inflated; archives are written in one pass, entries stored.
//
// Every entry has a CRC-32 of its content. The reader computes it once for each entry that is read, and throws an
// IoError where it is another. A CRC of 0 says that the writer computed none (torch.save has that option): such an
// entry is not checked, which a note says.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/files/mapped_file.h"
#include "data/formats/zip_directory.h"

namespace terrace {

/// Not for several threads at once.
class ZipReader {
 public:
  /// Throws IoError as read_zip_directory does, and where two entries have one name.
  explicit ZipReader(std::shared_ptr<const MappedFile> file);
  ~ZipReader();

  static bool recognises(const MappedFile& file);  // by its first bytes

  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }  // in the order of their place in the file
  /// The index of the entry of that name, or -1.
  int64_t find(const std::string& name) const;
  /// Throws IoError where the content of an entry has another CRC-32 than the archive says. The first call reads, and
  /// inflates, all of the entry, the others nothing. A deflated entry is also checked by read(), when its end is
  /// inflated.
  void check(int64_t entry) const;
  /// Bytes [offset, offset + count) of an entry's content, of a stored entry unchecked. A compressed entry is inflated
  /// from its beginning, or from where the last call ended; so reading forwards costs one pass.
  void read(int64_t entry, int64_t offset, std::byte* out, int64_t count) const;

 private:
  class Inflater;
  void check_stored(const ZipEntry& entry) const;
  void check_deflated(const ZipEntry& entry) const;

  std::shared_ptr<const MappedFile> file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, int64_t> index_;            // of each name
  mutable std::vector<std::atomic<bool>> checked_;  // of each entry
  mutable std::unique_ptr<Inflater> inflater_;
};

class ZipWriter {
 public:
  /// The file appears under `path` at commit() (data/files/atomic_file.h).
  explicit ZipWriter(const std::string& path);
  ~ZipWriter();

  const std::string& path() const;
  /// Begins an entry of `size` bytes, which write() then brings in pieces. Throws IoError where the last is not full.
  void begin(const std::string& name, int64_t size);
  void write(const void* bytes, int64_t count);
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
