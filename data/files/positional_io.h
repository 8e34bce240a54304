// pwrite() and pread() of whole blocks: repeated until all bytes are transferred.
#pragma once

#include <cstdint>

namespace terrace {

/// Returns false and leaves the reason in errno where the system refuses.
bool write_at(int descriptor, const void* bytes, int64_t count, int64_t at);
/// The same. A file that ends before the block does gives EIO.
bool read_at(int descriptor, void* bytes, int64_t count, int64_t at);

}  // namespace terrace
