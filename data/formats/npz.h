// NumPy's files: .npy (one array) and .npz (a zip archive of them, stored or deflated).
//
//   NpzWriter npz("samples.npz");
//   npz.begin("arr_0", DType::kU8, {50000, 256, 256, 3});
//   for (...) npz.append(images);          // (n, 256, 256, 3), in order
//   npz.commit();
//
// Arrays in Fortran order are read as what they are; their elements must be little-endian numbers or bools. A single
// .npy file holds the tensor "arr_0", as np.savez names it. A text (an array of no dimensions and type <U) is metadata:
// str(np.load(path)["config"]) in Python.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/files/mapped_file.h"
#include "data/formats/tensor_reader.h"
#include "data/formats/tensor_writer.h"
#include "data/formats/zip_archive.h"

namespace terrace {

bool is_npy(const MappedFile& file);
std::shared_ptr<const TensorReader> open_npy(std::shared_ptr<const MappedFile> file);
std::shared_ptr<const TensorReader> open_npz(std::shared_ptr<const ZipReader> zip);

/// Arrays written in pieces, so that one may be larger than memory. f32, f64, f16, i64, i32, u8, bool: NumPy has no
/// bf16 (DTypeError that names the array). Throws IoError as ZipWriter does.
class NpzWriter {
 public:
  explicit NpzWriter(const std::string& path) : zip_(path) {}

  /// Begins the next array; the one before it must be complete.
  void begin(const std::string& name, DType dtype, const Shape& shape);
  /// The next rows of it: (n, ...), or for a scalar the scalar. Throws ShapeError, DTypeError.
  void append(const Tensor& rows);
  /// A text in UTF-8 as an array of no dimensions. Throws IoError where it is not UTF-8.
  void text(const std::string& name, const std::string& value);
  /// The file appears under its name.
  void commit() { zip_.commit(); }

 private:
  ZipWriter zip_;
  std::string name_;
  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t rows_ = 0;  // that have come
};

/// Whole tensors and texts, each an array of its name.
std::unique_ptr<TensorWriter> create_npz(const std::string& path, std::vector<TensorEntry> entries,
                                         const std::map<std::string, std::string>& metadata = {});

}  // namespace terrace
