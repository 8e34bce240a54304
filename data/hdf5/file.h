// HDF5 files of tensors: a thin owner over the C library. One file is read or written through one Hdf5File; every call
// takes a lock of the whole process, because the library is not thread-safe, so an Hdf5File may be used from several
// threads, which then wait for each other. A file without checksums, of another program or of an earlier version, is
// read by a process of its own (remote.h), and takes a lock of its own: the library crashes on some damaged files and
// reads others without end, which is an IoError here.
//
//   Hdf5File file = Hdf5File::create("out.h5");   // written beside
//   file.write("weights/proj.weight", w);         // groups are made as needed; names may contain dots
//   file.write_attr_string("/", "about", "...");
//   file.commit();                                // complete: flushed, renamed to out.h5
//
// All errors are IoError and name the file, the dataset and the reason.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

namespace hdf5 {
class DirectReader;
}

enum class Compression : uint8_t { kNone, kGzip };  // gzip comes with the shuffle filter

struct Hdf5WriteOptions {
  int64_t chunk_rows = 0;  // extent of a chunk along the first dimension; 0: the file decides
  Compression compression = Compression::kNone;
  int gzip_level = 4;
};

struct Hdf5DatasetInfo {
  Shape shape;
  DType dtype = DType::kF32;  // what read() gives; undefined for strings
  bool is_string = false;
};

class Hdf5File {
 public:
  /// Opens for reading. Says whether the file is missing, empty, not HDF5, truncated or damaged. A note says once of a
  /// file that it has no checksums.
  static Hdf5File open(const std::string& path);
  /// Opens a new file for writing, under a name beside `path`; commit() gives it its name, and without commit nothing
  /// is left. What has the name `path` stays untouched until then.
  static Hdf5File create(const std::string& path);
  ~Hdf5File();
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;

  const std::string& path() const;
  void commit();  // of a created file; nothing can be read or written afterwards

  // --- What is inside ---
  bool has(const std::string& name) const;  // a dataset or a group
  bool is_group(const std::string& name) const;
  bool is_dataset(const std::string& name) const;
  std::vector<std::string> list(const std::string& group = "/") const;           // names in it, sorted
  std::vector<std::string> list_datasets(const std::string& group = "/") const;  // only datasets
  std::vector<std::string> list_groups(const std::string& group = "/") const;    // only groups
  /// Paths, relative to `group`, of every dataset at any depth below it, sorted.
  std::vector<std::string> walk(const std::string& group = "/") const;
  Hdf5DatasetInfo info(const std::string& name) const;
  Shape shape(const std::string& name) const { return info(name).shape; }
  DType dtype(const std::string& name) const { return info(name).dtype; }

  // --- Reading ---
  /// The whole dataset: f32, f64, f16, i64, i32, u8, bool as stored; bf16 where a u16 carries the attribute
  /// dtype = "bf16"; i8, i16 and u16 widen to i32, u32 and u64 to i64.
  Tensor read(const std::string& name) const;
  /// As read(), but anything else than `dtype` is an IoError.
  Tensor read(const std::string& name, DType dtype) const;
  /// Rows [begin, end) along the first dimension. The dataset stays open for the next call.
  Tensor read_rows(const std::string& name, int64_t begin, int64_t end) const;
  std::vector<std::string> read_strings(const std::string& name) const;  // 1-D; a scalar gives one

  // --- Attributes; `object` is a group or a dataset, "/" the root ---
  bool has_attr(const std::string& object, const std::string& name) const;
  std::vector<std::string> list_attrs(const std::string& object) const;
  std::string read_attr_string(const std::string& object, const std::string& name) const;
  int64_t read_attr_int(const std::string& object, const std::string& name) const;
  double read_attr_double(const std::string& object, const std::string& name) const;

  // --- Writing; missing groups on the way are made ---
  void make_group(const std::string& name);
  void write(const std::string& name, const Tensor& value, const Hdf5WriteOptions& options = {});
  void write_strings(const std::string& name, const std::vector<std::string>& values);
  /// An empty dataset of rows of `row_shape` (chunk_rows, where not given, makes chunks of about 64 KiB).
  void create_rows(const std::string& name, const Shape& row_shape, DType dtype, const Hdf5WriteOptions& options = {});
  void append_rows(const std::string& name, const Tensor& rows);  // (n, row_shape...)
  void write_attr_string(const std::string& object, const std::string& name, const std::string& value);
  void write_attr_int(const std::string& object, const std::string& name, int64_t value);
  void write_attr_double(const std::string& object, const std::string& name, double value);

 private:
  struct Impl;
  explicit Hdf5File(std::unique_ptr<Impl> impl);
  hdf5::DirectReader& writable() const;  // throws where the file was opened for reading, or is committed
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
