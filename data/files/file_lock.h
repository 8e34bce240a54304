// A lock on an open file, which ends with the process that holds it, however that ends.
#pragma once

#include <cstdint>

namespace terrace {

enum class FileLocking : uint8_t {
  kTaken,
  kHeldByAnother,
  kNotSupported  // by this file system
};

/// Takes the exclusive lock of a file that is open for writing, without waiting. It belongs to the open file
/// (F_OFD_SETLK): it ends when the descriptor is closed in this process and in those forked from it, by kill -9 too,
/// and other descriptors of the same file do not lift it. Processes on other machines respect it where the network file
/// system has locks. HDF5's own locks (flock) are of another kind and do not meet it.
FileLocking lock_file(int descriptor);

/// Whether a lock of another open file is on this one.
bool is_locked(int descriptor);

/// Whether `descriptor` is open on what `path` names now: a file that was locked may have been removed in the meantime.
bool is_named(int descriptor, const char* path);

}  // namespace terrace
