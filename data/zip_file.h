// Zip archives for tensor files, over libarchive: entries that are stored as they are can be read where they lie in the
// file, compressed ones are inflated; archives are written in one pass, entries stored.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/mapped_file.h"

namespace terrace {

struct ZipEntry {
  std::string name;
  int64_t size = 0;     // of the content
  int64_t offset = -1;  // of the content in the file; -1: it is compressed
};

class ZipReader {
 public:
  /// Throws IoError, among others where two entries have one name, or an entry claims more than the file can hold.
  explicit ZipReader(std::shared_ptr<const MappedFile> file);
  ~ZipReader();

  static bool recognises(const MappedFile& file);  // by its first bytes

  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }  // in the order of their place in the file
  /// The index of the entry of that name, or -1.
  int64_t find(const std::string& name) const;
  /// Bytes [offset, offset + count) of an entry's content. A compressed entry is inflated from its beginning, or from
  /// where the last call ended; so reading forwards costs one pass. Not for several threads at once.
  void read(int64_t entry, int64_t offset, std::byte* out, int64_t count) const;

 private:
  struct Inflater;
  std::shared_ptr<const MappedFile> file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, int64_t> index_;  // of each name
  mutable std::unique_ptr<Inflater> inflater_;
};

class ZipWriter {
 public:
  /// The file appears under `path` at commit() (data/atomic_file.h).
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
