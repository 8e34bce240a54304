// Whole blocks at a place of an open file, however many system calls they take.
#pragma once

#include <cstdint>

namespace terrace {

/// False with errno where the system refuses.
bool write_at(int descriptor, const void* bytes, int64_t count, int64_t at);
/// The same; a file that ends before is EIO.
bool read_at(int descriptor, void* bytes, int64_t count, int64_t at);

}  // namespace terrace
