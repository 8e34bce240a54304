#include "data/files/positional_io.h"

#include <unistd.h>

#include <cerrno>

namespace terrace {

bool write_at(int descriptor, const void* bytes, int64_t count, int64_t at) {
  const auto* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::pwrite(descriptor, next, static_cast<size_t>(count), at);
    if (written < 0 && errno == EINTR) { continue; }
    if (written < 0) { return false; }
    next += written;
    at += written;
    count -= written;
  }
  return true;
}

bool read_at(int descriptor, void* bytes, int64_t count, int64_t at) {
  auto* next = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::pread(descriptor, next, static_cast<size_t>(count), at);
    if (got < 0 && errno == EINTR) { continue; }
    if (got == 0) { errno = EIO; }
    if (got <= 0) { return false; }
    next += got;
    at += got;
    count -= got;
  }
  return true;
}

bool sync_data(int descriptor) {
  int status = 0;
  while ((status = ::fdatasync(descriptor)) != 0 && errno == EINTR) {}
  return status == 0;
}

bool truncate_to(int descriptor, int64_t size) {
  int status = 0;
  while ((status = ::ftruncate(descriptor, size)) != 0 && errno == EINTR) {}
  return status == 0;
}

}  // namespace terrace
