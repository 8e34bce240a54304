// What reads an HDF5 file: the library in this process (direct.h), or in a process of its own (remote.h).
#pragma once

#include <string>
#include <vector>

#include "data/hdf5/file.h"

namespace terrace::hdf5 {

enum class ObjectKind : uint8_t { kNone, kGroup, kDataset, kOther };

/// The reading calls of Hdf5File (file.h), which says what they give and which errors they throw.
class Reader {
 public:
  Reader() = default;
  virtual ~Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  virtual ObjectKind kind_of(const std::string& name) = 0;
  virtual std::vector<std::string> list(const std::string& group) = 0;
  virtual std::vector<std::string> walk(const std::string& group) = 0;
  virtual Hdf5DatasetInfo info(const std::string& name) = 0;
  virtual Tensor read(const std::string& name) = 0;
  virtual Tensor read_rows(const std::string& name, int64_t begin, int64_t end) = 0;
  virtual std::vector<std::string> read_strings(const std::string& name) = 0;
  virtual bool has_attr(const std::string& object, const std::string& name) = 0;
  virtual std::vector<std::string> list_attrs(const std::string& object) = 0;
  virtual std::string read_attr_string(const std::string& object, const std::string& name) = 0;
  virtual int64_t read_attr_int(const std::string& object, const std::string& name) = 0;
  virtual double read_attr_double(const std::string& object, const std::string& name) = 0;
};

}  // namespace terrace::hdf5
