// What the metadata of a dataset says is checked before anything of that size is allocated or read: in a damaged file
// they are arbitrary numbers.
#pragma once

#include <cstdint>
#include <string>

#include "data/hdf5/handle.h"

namespace terrace::hdf5 {

/// `count` elements of `size` bytes. Throws IoError "FILE: WHAT of SHAPE ..." where that cannot be read into this
/// machine's memory.
int64_t bytes_in_memory(const Shape& shape, int64_t size, const std::string& file, const std::string& what);
/// Throws IoError where the dataset's data lie beyond the file's end or in another file, or are packed by a filter that
/// the library does not have.
void check_storage(hid_t dataset, int64_t file_bytes, const std::string& file, const std::string& what);

}  // namespace terrace::hdf5
