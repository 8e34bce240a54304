// Files that appear under their name only when they are complete: written beside, flushed to the disk, renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "data/files/descriptor.h"

namespace terrace {

/// The name beside `path` under which a file is written until it is complete. The constructor creates it, which finds
/// an unwritable or missing folder before any work is done, and removes what processes that have ended left of earlier
/// attempts (leftovers.h); without commit() the destructor removes it. As long as the object lives it holds the lock of
/// the file, by which others see that it is being written.
/// Throws IoError: "cannot write PATH: Permission denied".
class PartialFile {
 public:
  explicit PartialFile(std::string path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::string& path() const { return path_; }
  const std::string& partial_path() const { return partial_path_; }
  /// Flushes what was written to the disk and gives the file its final name, replacing what had it. Throws IoError; the
  /// old file is as it was unless the error says that the new one is in its place.
  void commit();

 private:
  std::string create();

  std::string path_, partial_path_;
  Descriptor descriptor_;  // holds the lock
  bool committed_ = false;
};

/// A stream of bytes into a PartialFile. Throws IoError: "cannot write PATH: No space left on device".
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);

  void write(const void* bytes, size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Over bytes that have been written; write() goes on where it was.
  void write_at(int64_t at, std::string_view text);
  void commit();

 private:
  PartialFile file_;
  Descriptor descriptor_;
};

/// The whole of `content` as the file `path`, or, on any error, `path` as it was.
void write_file(const std::string& path, std::string_view content);

/// The whole file. Throws IoError: "cannot read PATH: No such file or directory".
std::string read_file(const std::string& path);

}  // namespace terrace
