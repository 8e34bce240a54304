// The process that reads a file for a RemoteReader.
#pragma once

#include <string>

namespace terrace::hdf5 {

/// Runs in the child of a fork that was made under a Lock: answers the requests that come over `socket` until the
/// other end is closed, with elements in `shared` (message.h), and ends the process. Other threads of the parent may
/// have held any lock when it forked, so that only the library, plain C++ and the C library's allocator are used, whose
/// locks a fork leaves free.
[[noreturn]] void serve_reads(const std::string& path, int socket, char* shared) noexcept;

}  // namespace terrace::hdf5
