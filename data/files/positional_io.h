// pwrite() and pread() of whole blocks, repeated until all bytes are transferred, and what goes with them. All calls
// are repeated where a signal interrupts them.
#pragma once

#include <cstdint>

namespace terrace {

/// Returns false and leaves the reason in errno where the system refuses.
bool write_at(int descriptor, const void* bytes, int64_t count, int64_t at);
/// The same. A file that ends before the block does gives EIO.
bool read_at(int descriptor, void* bytes, int64_t count, int64_t at);

/// Flushes the content to the disk. Returns false, with the reason in errno, as does the next.
bool sync_data(int descriptor);
bool truncate_to(int descriptor, int64_t size);

}  // namespace terrace
