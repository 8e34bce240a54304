// What a format of tensor files implements to be read (data/formats/open_tensor_file.h): the tensors in a file, and
// their values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

/// What a file says about one tensor. The dtype is that of the values that read() gives: as stored, but i8, i16 and u16
/// widen to i32, u32 and u64 to i64.
struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t bytes() const { return shape.numel() * size_of(dtype); }
};

/// An open file of one format.
class TensorReader {
 public:
  virtual ~TensorReader() = default;
  virtual const std::vector<TensorEntry>& entries() const = 0;  // in file order
  /// Values of entry `index` into `out`, contiguous, of the entry's dtype; where `out` has
  /// fewer rows than the entry, only rows [begin, end) of the first dimension.
  virtual void read(size_t index, int64_t begin, int64_t end, Tensor& out) const = 0;
  virtual const std::map<std::string, std::string>& metadata() const = 0;
};

}  // namespace terrace
