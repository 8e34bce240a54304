// An HDF5 file seen as a file of tensors: every dataset of numbers, at any depth, under its path.
#pragma once

#include <memory>
#include <string>

#include "data/files/mapped_file.h"
#include "data/formats/tensor_reader.h"

namespace terrace {

bool is_hdf5(const MappedFile& file);
/// The root's text attributes are the metadata. Throws IoError.
std::shared_ptr<const TensorReader> open_hdf5_tensors(const std::string& path);

}  // namespace terrace
