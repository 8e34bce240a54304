#include "data/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/files/file_lock.h"
#include "data/files/leftovers.h"
#include "data/files/positional_io.h"
#include "tensor/base/error.h"
#include "tensor/device/interruption.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const char* doing, const std::string& path, int code) {
  throw IoError(cat("cannot ", doing, " ", path, ": ", std::strerror(code)));
}

void sync(const std::string& on_disk, const std::string& shown, int flags) {
  const int descriptor = ::open(on_disk.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) { fail("write", shown, errno); }
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems have no fsync for folders; the rename is as durable there as it gets.
  if (code != 0 && code != EINVAL && code != ENOTSUP) { fail("write", shown, code); }
}

}  // namespace

PartialFile::PartialFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) { throw IoError("cannot write a file: its name is empty"); }
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode)) { fail("write", path_, EISDIR); }
    throw IoError(cat("cannot write ", path_, ": it is not a regular file"));
  }
  remove_leftovers(path_);
  while (!create()) {}
}

/// False where the name is not this process's alone: of another container's process with the same number, or taken for
/// a leftover before it could be locked.
bool PartialFile::create() {
  partial_path_ = partial_name(path_);
  descriptor_ = ::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0 && errno == EEXIST) { return false; }
  if (descriptor_ < 0) { fail("write", path_, errno); }
  const bool own =
      lock_file(descriptor_) != FileLocking::kHeldByAnother && is_named(descriptor_, partial_path_.c_str());
  if (!own) { ::close(descriptor_); }
  return own;
}

PartialFile::~PartialFile() {
  if (!committed_) { ::unlink(partial_path_.c_str()); }
  ::close(descriptor_);  // which ends the lock
}

void PartialFile::commit() {
  sync(partial_path_, path_, O_RDONLY);
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) { fail("write", path_, errno); }
  committed_ = true;
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  sync(folder.empty() ? "." : folder, path_, O_RDONLY | O_DIRECTORY);
}

AtomicFile::AtomicFile(std::string path) : file_(std::move(path)) {
  descriptor_ = ::open(file_.partial_path().c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor_ < 0) { fail("write", file_.path(), errno); }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) { ::close(descriptor_); }
}

void AtomicFile::write(const void* bytes, size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(descriptor_, next, count);
    if (written < 0 && errno == EINTR) { continue; }
    if (written < 0) { fail("write", file_.path(), errno); }
    next += written;
    count -= static_cast<size_t>(written);
  }
}

void AtomicFile::write_at(int64_t at, std::string_view text) {
  if (!terrace::write_at(descriptor_, text.data(), static_cast<int64_t>(text.size()), at)) {
    fail("write", file_.path(), errno);
  }
}

void AtomicFile::commit() {
  const int code = ::close(descriptor_) == 0 ? 0 : errno;
  descriptor_ = -1;
  if (code != 0) { fail("write", file_.path(), code); }
  file_.commit();
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const std::string& path) {
  int descriptor = -1;
  while ((descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) < 0 && errno == EINTR) { interruption_point(); }
  if (descriptor < 0) { fail("read", path, errno); }
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISCHR(status.st_mode)) {
    ::close(descriptor);
    throw IoError(cat("cannot read ", path, ": it is a device, which has no end"));
  }
  std::string content;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(descriptor, block, sizeof block);
    if (count < 0 && errno == EINTR) { continue; }
    if (count < 0) {
      const int code = errno;
      ::close(descriptor);
      fail("read", path, code);
    }
    if (count == 0) { break; }
    content.append(block, static_cast<size_t>(count));
  }
  ::close(descriptor);
  return content;
}

}  // namespace terrace
