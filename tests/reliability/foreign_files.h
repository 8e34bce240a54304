// HDF5 files as others write them: without Terrace's checksums.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace terrace {

enum class Hdf5Format : uint8_t {
  kOldest,  // what libhdf5 writes by default, and earlier versions of Terrace did
  kLatest,  // its newest structures: B-trees of version 2, fractal heaps, checksums of some of the metadata
};

/// Copies all objects and attributes into a new file, with texts of variable length. Throws Error.
void write_foreign_copy(const std::filesystem::path& from, const std::filesystem::path& to, Hdf5Format format);

/// Ranges [begin, end) of the file that hold values of datasets, sorted; what lies between them is metadata.
std::vector<std::pair<int64_t, int64_t>> ranges_of_values(const std::filesystem::path& path);

}  // namespace terrace
