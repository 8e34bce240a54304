// What an HDF5 file of this project holds: attributes terrace_kind and terrace_version of its root.
#pragma once

#include <string>

#include "data/hdf5/file.h"

namespace terrace {

/// Of checkpoints and token caches; a program refuses files of a newer one.
inline constexpr int64_t kCheckpointVersion = 1;

/// Marks the root with what the file is ("var") and the version of its layout.
void write_kind(Hdf5File& file, const std::string& kind);
/// Throws IoError that names the file, what it is and what it should be.
void check_kind(const Hdf5File& file, const std::string& kind);

}  // namespace terrace
