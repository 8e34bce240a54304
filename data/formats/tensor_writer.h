// Writing files of tensors: all entries are declared first, then their values come in that order, one at a time, so
// that a file may be larger than memory.
//
//   auto writer = create_tensor_file("out.safetensors", entries, {{"format", "pt"}});
//   for (const TensorEntry& entry : entries) writer->write(values.at(entry.name));
//   writer->commit();
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/formats/tensor_reader.h"

namespace terrace {

class TensorWriter {
 public:
  /// Throws IoError where two entries have one name.
  TensorWriter(std::string path, std::vector<TensorEntry> entries);
  virtual ~TensorWriter() = default;

  /// The next entry's values. Throws ShapeError, DTypeError unless they are as declared.
  void write(const Tensor& value);
  /// The file appears under its name. Throws IoError where values are missing.
  void commit();

 protected:
  virtual void write_entry(const TensorEntry& entry, const Tensor& contiguous) = 0;
  virtual void finish() = 0;
  const std::string& path() const { return path_; }
  const std::vector<TensorEntry>& entries() const { return entries_; }

 private:
  std::string path_;
  std::vector<TensorEntry> entries_;
  size_t next_ = 0;
};

/// By the ending of `path`: .safetensors, .npz, .pth or .pt. TensorFile::metadata() gives `metadata` again: they are in
/// __metadata__ of safetensors, arrays of text in .npz, records extra/NAME in .pth. Throws ConfigError for another
/// ending.
std::unique_ptr<TensorWriter> create_tensor_file(const std::string& path, std::vector<TensorEntry> entries,
                                                 const std::map<std::string, std::string>& metadata = {});

}  // namespace terrace
