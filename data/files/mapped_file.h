// The bytes of a file as memory: mapped from the disk, so that only the pages that are used are read, or bytes that the
// caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace terrace {

class MappedFile {
 public:
  /// Throws IoError: "cannot read PATH: No such file or directory", "... it is a folder", "... the file is empty".
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  /// Bytes that outlive it, under a name for error texts.
  static std::shared_ptr<const MappedFile> lend(std::string name, std::span<const std::byte> bytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const std::byte* data() const { return bytes_.data(); }
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  bool contains(const void* address) const { return address >= data() && address < data() + size(); }
  /// Whole pages within [begin, end) leave the process's memory; the next access reads them from the disk again. A pass
  /// over a file that releases what it has copied needs no memory of the file's size.
  void release(int64_t begin, int64_t end) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, bool mapped);

  std::string path_;
  std::span<const std::byte> bytes_;
  bool mapped_;
};

}  // namespace terrace
