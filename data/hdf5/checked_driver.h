// A virtual file driver of the HDF5 library that reads a file by blocks and compares each with its checksum: neither
// damaged numbers nor damaged metadata reach the library, which crashes on some of the latter.
#pragma once

#include <string>

#include "data/hdf5/handle.h"

namespace terrace::hdf5 {

/// Opens a file for reading by its checksums; invalid where it has no trailer. Throws IoError where it cannot be read
/// or is damaged so far. A block that is not what was written fails the call that reads it, with the reason "damaged:
/// bytes [A, B) are not what was written" on the library's error stack. The caller holds hdf5::Lock.
Handle open_checked(const std::string& path);

}  // namespace terrace::hdf5
