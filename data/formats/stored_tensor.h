// Tensors as files hold them: an element type, a layout, and bytes that lie in a map of the file or behind a zip
// entry's compression. Readers of the formats describe what they find as StoredTensors; the rest is common to them.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/files/mapped_file.h"
#include "data/formats/tensor_reader.h"
#include "data/formats/zip_archive.h"

namespace terrace {

/// Little-endian elements, as stored.
enum class ElementType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };
int64_t size_of(ElementType type);
DType dtype_of(ElementType type);  // what the elements become
ElementType element_type_of(DType dtype);

/// Consecutive bytes of a file.
class ByteRange {
 public:
  ByteRange() = default;
  ByteRange(std::shared_ptr<const MappedFile> file, int64_t begin, int64_t size)
      : file_(std::move(file)), begin_(begin), size_(size) {}
  /// The content of an entry.
  ByteRange(std::shared_ptr<const ZipReader> zip, int64_t entry);

  int64_t size() const { return size_; }
  /// The bytes where they lie in the map, nullptr where they are compressed.
  const std::byte* mapped() const { return compressed_ ? nullptr : file_->data() + begin_; }
  /// Throws IoError where they are a zip entry whose CRC-32 does not match (ZipReader::check), unless reading
  /// [offset, offset + count) will find that itself.
  void check(int64_t offset, int64_t count) const;
  void read(int64_t offset, std::byte* out, int64_t count) const;
  /// Gives the pages of [offset, offset + count) back to the system (MappedFile::release).
  void release(int64_t offset, int64_t count) const;
  ByteRange part(int64_t offset, int64_t size) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<const ZipReader> zip_;  // where the bytes are those of an entry
  int64_t entry_ = -1;
  bool compressed_ = false;
  int64_t begin_ = 0, size_ = 0;  // in the entry where they are compressed, else in the file
};

struct StoredTensor {
  std::string name;
  ElementType type = ElementType::kF32;
  Shape shape;
  Shape strides;       // in elements; 0 repeats
  int64_t offset = 0;  // of the first element, in elements
  ByteRange bytes;
  std::optional<uint64_t> checksum = {};  // checksum_of_pieces, where the file has one

  TensorEntry entry() const { return {name, dtype_of(type), shape}; }
};

/// The number of elements. Throws IoError "WHERE: ..." where an extent is negative or the product overflows.
int64_t checked_numel(const Shape& shape, const std::string& where);
/// Throws IoError, opening with `where`, unless every element lies within the bytes. A tensor that repeats elements
/// (stride 0) may be larger than its bytes, up to a limit.
void check_layout(const StoredTensor& tensor, const std::string& where);

/// A TensorReader over a complete list of stored tensors.
class StoredTensors : public TensorReader {
 public:
  /// The layouts have been checked. Throws IoError where two tensors have one name. The first read of a tensor that has
  /// a checksum compares all of its bytes, and throws IoError where they are others.
  StoredTensors(const std::string& path, std::vector<StoredTensor> tensors,
                std::map<std::string, std::string> metadata = {});
  const std::vector<TensorEntry>& entries() const override { return entries_; }
  void read(size_t index, int64_t begin, int64_t end, Tensor& out) const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }

 private:
  void compare_checksum(size_t index, std::byte* copy_to) const;

  std::string path_;
  std::vector<StoredTensor> tensors_;
  mutable std::vector<std::atomic<bool>> compared_;  // with its checksum, of each tensor
  std::vector<TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace terrace
