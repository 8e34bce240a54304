// A file that the library reads in this process. The sources that write use its handles too.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/hdf5/handle.h"
#include "data/hdf5/reader.h"

namespace terrace::hdf5 {

/// What one call reads of a dataset: all of it, or consecutive rows along the first dimension.
struct Selection {
  Handle owned;  // of a dataset that is open for this call alone
  hid_t dataset = H5I_INVALID_HID;
  std::string name;
  Hdf5DatasetInfo info;  // its shape is that of the selection
  int64_t first_row = 0;
  int64_t rows = 1;         // 1 where the dataset is a scalar
  int64_t row_bytes = 0;    // in memory
  int64_t chunk_rows = 1;   // of this and the next: where metadata are doubtful
  int64_t chunk_bytes = 0;  // 0 where the dataset is not chunked

  int64_t bytes() const { return rows * row_bytes; }
};

/// Opens a file for reading, without checksums. Says whether it is not HDF5, or truncated.
Handle open_unchecked(const std::string& path);

/// Whether what the file says of its datasets is as it was written, by its checksums or because this process writes it,
/// or may be any number.
enum class Metadata : uint8_t { kAsWritten, kDoubtful };

class DirectReader final : public Reader {
 public:
  /// Of a file that is open for reading or writing.
  DirectReader(std::string path, Handle opened, Metadata metadata);
  ~DirectReader() override;

  ObjectKind kind_of(const std::string& name) override;
  std::vector<std::string> list(const std::string& group) override;
  std::vector<std::string> walk(const std::string& group) override;
  Hdf5DatasetInfo info(const std::string& name) override;
  Tensor read(const std::string& name) override;
  Tensor read_rows(const std::string& name, int64_t begin, int64_t end) override;
  std::vector<std::string> read_strings(const std::string& name) override;
  bool has_attr(const std::string& object, const std::string& name) override;
  std::vector<std::string> list_attrs(const std::string& object) override;
  std::string read_attr_string(const std::string& object, const std::string& name) override;
  int64_t read_attr_int(const std::string& object, const std::string& name) override;
  double read_attr_double(const std::string& object, const std::string& name) override;

  // --- read() and read_rows() in two steps, without a tensor ---
  Selection select(const std::string& name);
  Selection select_rows(const std::string& name, int64_t begin, int64_t end);
  /// Reads rows [begin, end) of the selection to `out`.
  void read_to(const Selection& selection, int64_t begin, int64_t end, void* out) const;

  // --- What the sources that write use as well ---
  hid_t file() const { return file_; }
  Handle open_object(const std::string& name) const;
  hid_t keep_dataset(const std::string& name);  // open until the file is closed
  Hdf5DatasetInfo info_of(hid_t dataset, const std::string& name) const;
  int64_t file_bytes() const;
  bool close();  // nothing can be read or written afterwards; false where the library could not close the file

 private:
  Handle open_dataset(const std::string& name);  // names the nearest where there is none
  Handle open_group(const std::string& name);
  void refuse_other_file(const std::string& name) const;  // throws where `name` leads to one
  void complete(Selection& selection) const;
  Tensor read(const Selection& selection) const;

  std::string path_;
  Handle file_;
  Metadata metadata_;
  std::map<std::string, Handle> open_datasets_;  // of read_rows and append_rows
};

}  // namespace terrace::hdf5
